package observe

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/login"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/session"
)

// sessionView is a session in /sessions. Its fields, and those of the types in it, are a contract:
// they may become more, but none is renamed or dropped. There are no secrets among them.
type sessionView struct {
	Tenant      string           `json:"tenant"`
	Namespace   string           `json:"netns"`
	Initiator   string           `json:"initiator"`
	Alias       string           `json:"alias,omitempty"`
	User        string           `json:"user,omitempty"` // who has proved itself
	Target      string           `json:"target"`         // "" in a discovery session
	Group       uint16           `json:"portal_group"`
	ISID        string           `json:"isid"`
	TSIH        uint16           `json:"tsih"`
	Opened      time.Time        `json:"opened"`
	Age         float64          `json:"age_seconds"`
	Params      paramsView       `json:"negotiated"`
	Connections []connectionView `json:"connections"`
	Tasks       int              `json:"tasks"`
	Window      int              `json:"window"`
	Commands    uint64           `json:"commands"`
	BytesIn     uint64           `json:"bytes_in"`
	BytesOut    uint64           `json:"bytes_out"`
	Errors      uint64           `json:"errors"`
	Aborted     uint64           `json:"aborted"`
}

type connectionView struct {
	CID          uint16 `json:"cid"`
	Remote       string `json:"remote"`
	Local        string `json:"local"`
	Loop         int    `json:"loop"`
	HeaderDigest bool   `json:"header_digest"`
	DataDigest   bool   `json:"data_digest"`
}

// paramsView has the names of RFC 7143, section 13.
type paramsView struct {
	MaxRecvDataSegmentLength uint32
	MaxSendDataSegmentLength uint32 // the initiator's MaxRecvDataSegmentLength
	MaxConnections           uint16
	InitialR2T               bool
	ImmediateData            bool
	MaxBurstLength           uint32
	FirstBurstLength         uint32
	DefaultTime2Wait         uint16
	DefaultTime2Retain       uint16
	MaxOutstandingR2T        uint16
	ErrorRecoveryLevel       uint8
}

// Page is /sessions.
func Page(s Sessions) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		now, views := time.Now(), []sessionView{}
		for _, state := range s.Sessions() {
			views = append(views, view(state, now))
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"sessions": views}) // who asked has gone
	})
}

func view(s session.State, now time.Time) sessionView {
	v := sessionView{
		Tenant: s.Tenant, Namespace: s.Namespace, Initiator: s.Initiator, Alias: s.Alias, User: s.User,
		Target: s.Target, Group: s.Group, ISID: fmt.Sprintf("%x", s.ISID), TSIH: s.TSIH,
		Opened: s.Opened, Age: now.Sub(s.Opened).Seconds(), Params: params(s.Params), Connections: []connectionView{},
		Tasks: s.Tasks, Window: s.Window, Commands: s.Commands, BytesIn: s.BytesIn, BytesOut: s.BytesOut,
		Errors: s.Errors, Aborted: s.Aborted,
	}
	for _, c := range s.Connections {
		v.Connections = append(v.Connections, connectionView{
			CID: c.CID, Remote: c.Remote.String(), Local: c.Local.String(), Loop: c.Loop,
			HeaderDigest: c.HeaderDigest, DataDigest: c.DataDigest,
		})
	}
	return v
}

func params(p login.Params) paramsView {
	return paramsView{
		MaxRecvDataSegmentLength: p.MaxRecvDataSegmentLength, MaxSendDataSegmentLength: p.MaxSendDataSegmentLength,
		MaxConnections: p.MaxConnections, InitialR2T: p.InitialR2T, ImmediateData: p.ImmediateData,
		MaxBurstLength: p.MaxBurstLength, FirstBurstLength: p.FirstBurstLength,
		DefaultTime2Wait: p.DefaultTime2Wait, DefaultTime2Retain: p.DefaultTime2Retain,
		MaxOutstandingR2T: p.MaxOutstandingR2T, ErrorRecoveryLevel: p.ErrorRecoveryLevel,
	}
}
