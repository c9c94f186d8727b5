package main

import (
	"errors"
	"net"

	"google.golang.org/grpc/credentials"

	"github.com/nsreactor/nsreactor/engine"
)

// Namespaced are a server's credentials that also say which namespace a connection is
// in: a handler finds an AuthInfo in its peer.Peer.
type Namespaced struct {
	credentials.TransportCredentials // what secures the connection
}

// AuthInfo is what Namespaced knows of a connection.
type AuthInfo struct {
	credentials.AuthInfo // of the credentials within
	Namespace            *engine.Namespace
}

// errNoNamespace refuses a connection that no engine has accepted.
var errNoNamespace = errors.New("connection of no namespace")

// ServerHandshake is that of the credentials within.
func (n Namespaced) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	ns, ok := engine.NamespaceOf(conn)
	if !ok {
		return nil, nil, errNoNamespace
	}
	secured, info, err := n.TransportCredentials.ServerHandshake(conn)
	return secured, AuthInfo{info, ns}, err
}

// Clone is a copy.
func (n Namespaced) Clone() credentials.TransportCredentials {
	return Namespaced{n.TransportCredentials.Clone()}
}
