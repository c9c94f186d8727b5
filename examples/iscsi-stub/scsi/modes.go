package scsi

// modes is what MODE SELECT can change. A value is never changed: a new one takes its place.
type modes struct {
	WriteCache           bool `json:"writeCache"`           // WCE, caching page
	DescriptorSense      bool `json:"descriptorSense"`      // D_SENSE, control page
	SoftwareWriteProtect bool `json:"softwareWriteProtect"` // SWP, control page
}

// defaultModes is what a unit starts with that has nothing saved.
func (u *Unit) defaultModes() *modes { return &modes{WriteCache: u.writeCache} }

// setModes makes modes the current ones.
func (u *Unit) setModes(m *modes) {
	u.modes.Store(m)
	u.volume.SetWriteCache(m.WriteCache)
}
