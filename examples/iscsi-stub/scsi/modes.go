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

// modePage is a mode page. Which of its bits can be changed follows from fill.
type modePage struct {
	code   byte
	length int // of the page with its two bytes of header
	fill   func(p []byte, m *modes)
	take   func(p []byte, m *modes) // reads back what fill wrote, where it can be changed
}

// modePages is the pages that there are, by their codes (SPC-4, 7.5; SBC-3, 6.5).
var modePages = []modePage{
	{code: 0x01, length: 12, fill: fillNothing, take: takeNothing}, // read-write error recovery
	{code: 0x08, length: 20, fill: fillCaching, take: takeCaching},
	{code: 0x0A, length: 12, fill: fillControl, take: takeControl},
	{code: 0x1C, length: 12, fill: fillExceptions, take: takeNothing}, // informational exceptions control
}

func fillNothing([]byte, *modes) {}
func takeNothing([]byte, *modes) {}

const (
	writeCacheEnable     = 0x04 // WCE, byte 2 of the caching page
	descriptorSense      = 0x04 // D_SENSE, byte 2 of the control page
	softwareWriteProtect = 0x08 // SWP, byte 4 of the control page
)

// fillCaching: WCE is whether a write is only in memory when its status is sent.
func fillCaching(p []byte, m *modes) { p[2] = flag(m.WriteCache, writeCacheEnable) }

func takeCaching(p []byte, m *modes) { m.WriteCache = p[2]&writeCacheEnable != 0 }

// fillControl: a task set for each nexus, in which commands may be reordered.
func fillControl(p []byte, m *modes) {
	p[2] = 0x20 | flag(m.DescriptorSense, descriptorSense) // TST 001b
	p[3] = 0x10                                            // queue algorithm modifier: unrestricted
	p[4] = flag(m.SoftwareWriteProtect, softwareWriteProtect)
	p[8], p[9] = 0xFF, 0xFF // busy timeout period: unlimited
}

func takeControl(p []byte, m *modes) {
	m.DescriptorSense = p[2]&descriptorSense != 0
	m.SoftwareWriteProtect = p[4]&softwareWriteProtect != 0
}

// fillExceptions: there are none to be told of.
func fillExceptions(p []byte, _ *modes) { p[2] = 0x08 } // DEXCPT

func flag(on bool, bit byte) byte {
	if on {
		return bit
	}
	return 0
}

// append appends the page with some values.
func (p *modePage) append(b []byte, m *modes) []byte {
	start := len(b)
	b = append(b, make([]byte, p.length)...)
	page := b[start:]
	p.fill(page, m)
	page[0], page[1] = p.code, byte(p.length-2)
	return b
}

// changeable is the mask of the bits that MODE SELECT can change: those that differ when
// everything does.
func (p *modePage) changeable() []byte {
	page, on := make([]byte, p.length), make([]byte, p.length)
	p.fill(page, &modes{})
	p.fill(on, &modes{WriteCache: true, DescriptorSense: true, SoftwareWriteProtect: true})
	for i := range page {
		page[i] ^= on[i]
	}
	page[0], page[1] = p.code, byte(p.length-2)
	return page
}
