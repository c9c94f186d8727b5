package handlers

import "github.com/nsreactor/nsreactor/engine"

// PacketEcho sends every datagram back to where it came from, from the address that
// it was sent to (RFC 862). Of a datagram that is not whole (see
// engine.Config.PacketMax) it sends nothing.
//
// It answers whoever asks, and as much as it was asked: on a port that strangers reach
// it sends what they like to where a forged source says.
//
// The zero PacketEcho is ready for use, and one serves any number of ports.
type PacketEcho struct{ engine.BasePacketHandler }

// OnPacket replies.
func (PacketEcho) OnPacket(p *engine.Packet) {
	if !p.Truncated {
		_ = p.Reply(p.Data) // what can't be sent is lost, as on the way, and counted
	}
}

// PacketDiscard throws away what it receives and says nothing (RFC 863).
type PacketDiscard struct{ engine.BasePacketHandler }
