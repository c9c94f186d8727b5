package toolkit

import "github.com/nsreactor/nsreactor/bench/internal/trial"

// tlsServers do the same on crypto/tls with a goroutine a connection, and with
// tlshandler on a loop.
func tlsServers(kind string) []trial.Server {
	const floor = "crypto/tls"
	needs := []string{"tlsload"}
	return []trial.Server{
		{Name: floor, Program: "tls", Args: []string{"-kind", kind}, Floor: floor, Needs: needs},
		{Name: "tlshandler", Program: "tls", Args: []string{"-loop", "-kind", kind}, Floor: floor, Needs: needs},
	}
}

const tlsTarget = "tlshandler within 10 % of crypto/tls on goroutines"

// tlsUp and tlsDown move bulk in one direction, 64 KiB a message.
var (
	tlsUp = part{
		name: "tls-up", title: "TLS 1.3, received in bulk", servers: tlsServers("up"),
		cells:  []trial.Cell{{Shape: trial.Shape{Namespaces: 4, Conns: 1}, Size: 64 << 10, Depth: 1, Kind: trial.TLSUp}},
		target: target{what: tlsTarget, cpu: 1.1, rate: 0.9},
	}
	tlsDown = part{
		name: "tls-down", title: "TLS 1.3, sent in bulk", servers: tlsServers("down"),
		cells:  []trial.Cell{{Shape: trial.Shape{Namespaces: 4, Conns: 1}, Size: 64 << 10, Depth: 1, Kind: trial.TLSDown}},
		target: target{what: tlsTarget, cpu: 1.1, rate: 0.9},
	}
)

// tlsEcho is small messages, tlsMany so many connections that what each holds is most of
// the memory.
var (
	tlsEcho = part{
		name: "tls-echo", title: "TLS 1.3, an echo of small messages", servers: tlsServers("echo"),
		cells:  []trial.Cell{{Shape: trial.Shape{Namespaces: 16, Conns: 4}, Size: 64, Depth: 1, Kind: trial.TLSEcho}},
		target: target{what: tlsTarget, cpu: 1.1, rate: 0.9},
	}
	tlsMany = part{
		name: "tls-many", title: "TLS 1.3, 10,000 connections", servers: tlsServers("echo"),
		cells:  []trial.Cell{{Shape: trial.Shape{Namespaces: 100, Conns: 100}, Size: 64, Depth: 1, Kind: trial.TLSEcho}},
		target: target{what: tlsTarget + ", with less memory", cpu: 1.1, rate: 0.9, pss: 1},
	}
)
