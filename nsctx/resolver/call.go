package resolver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/nsreactor/nsreactor/nsctx"
)

// The transports, as net names them.
const (
	udp = "udp"
	tcp = "tcp"
)

const port = 53

// call is one question to one server from within one namespace.
type call struct {
	ns      *nsctx.Namespace
	server  netip.Addr
	timeout time.Duration
	query   *dns.Msg
}

// do returns the server's reply to the question. The socket is the call's own: the
// kernel has chosen its port, and takes datagrams from the server only.
func (c *call) do(ctx context.Context, network string) (*dns.Msg, error) {
	s, err := openSocket(c.ns, network, c.server)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	if err := s.SetDeadline(time.Now().Add(c.timeout)); err != nil {
		return nil, err
	}
	past := time.Unix(1, 0)
	defer context.AfterFunc(ctx, func() { _ = s.SetDeadline(past) })()

	if err := s.connect(netip.AddrPortFrom(c.server, port)); err != nil {
		return nil, plain(err)
	}
	conn := &dns.Conn{Conn: s.Conn, UDPSize: udpSize}
	if err := conn.WriteMsg(c.query); err != nil {
		return nil, plain(err)
	}
	if network == tcp {
		return c.readStream(conn)
	}
	return c.readDatagram(conn)
}

// readDatagram waits for the reply and passes over what is none: it may have been
// sent by somebody who hopes to be taken for the server.
func (c *call) readDatagram(conn *dns.Conn) (*dns.Msg, error) {
	for {
		data, err := conn.ReadMsgHeader(nil)
		if errors.Is(err, dns.ErrShortRead) {
			continue
		}
		if err != nil {
			return nil, plain(err)
		}
		if reply := parseReply(data, c.query); reply != nil {
			return reply, nil
		}
	}
}

// readStream takes the first message, of up to 64 KiB, for the reply.
func (c *call) readStream(conn *dns.Conn) (*dns.Msg, error) {
	data, err := conn.ReadMsgHeader(nil)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, dns.ErrShortRead):
		return nil, fmt.Errorf("%w: no reply over TCP: %w", ErrServerFailure, err)
	case err != nil:
		return nil, plain(err)
	}
	reply := parseReply(data, c.query)
	if reply == nil || reply.Truncated {
		return nil, fmt.Errorf("%w: malformed reply over TCP", ErrServerFailure)
	}
	return reply, nil
}

// parseReply returns nil if the message is no reply to the query.
func parseReply(data []byte, query *dns.Msg) *dns.Msg {
	reply := new(dns.Msg)
	err := reply.Unpack(data)
	if !isReply(reply, query) {
		return nil
	}
	if err != nil && !reply.Truncated { // which may cut a record in two
		return nil
	}
	return reply
}

func isReply(reply, query *dns.Msg) bool {
	if reply.Id != query.Id || !reply.Response || reply.Opcode != query.Opcode {
		return false
	}
	if len(reply.Question) == 0 {
		// Some servers refuse with nothing but a header.
		return reply.Rcode != dns.RcodeSuccess && reply.Rcode != dns.RcodeNameError
	}
	got, want := reply.Question[0], query.Question[0]
	return len(reply.Question) == 1 && got.Qtype == want.Qtype && got.Qclass == want.Qclass &&
		strings.EqualFold(got.Name, want.Name)
}

// plain leaves out what package net adds: the server is named elsewhere.
func plain(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return ErrTimeout
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err
	}
	return err
}
