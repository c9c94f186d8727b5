package engine

import (
	"context"
	"net"
)

// inNamespace is what knows where it is: NetConn, NetAddr, Conn.
type inNamespace interface{ Namespace() *Namespace }

// NamespaceOf is the namespace of a connection that came from [Engine.Listener] or
// [Conn.Detach], also from inside a [crypto/tls.Conn] or whatever else has a NetConn
// method.
func NamespaceOf(c net.Conn) (*Namespace, bool) {
	for c != nil {
		if in, ok := c.(inNamespace); ok {
			return in.Namespace(), true
		}
		wrapper, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		c = wrapper.NetConn()
	}
	return nil, false
}

// NamespaceOfAddr is the namespace of such a connection's local address.
func NamespaceOfAddr(a net.Addr) (*Namespace, bool) {
	if in, ok := a.(inNamespace); ok {
		return in.Namespace(), true
	}
	return nil, false
}

type namespaceKey struct{}

// WithNamespace is a context that [NamespaceFromContext] finds a namespace in.
func WithNamespace(ctx context.Context, ns *Namespace) context.Context {
	return context.WithValue(ctx, namespaceKey{}, ns)
}

// NamespaceFromContext is the namespace that ConnContext or WithNamespace has put
// into a context.
func NamespaceFromContext(ctx context.Context) (*Namespace, bool) {
	ns, ok := ctx.Value(namespaceKey{}).(*Namespace)
	return ns, ok
}

// ConnContext puts a connection's namespace into a context. It is for the field of
// that name of a net/http.Server:
//
//	srv := &http.Server{Handler: mux, ConnContext: engine.ConnContext}
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	if ns, ok := NamespaceOf(c); ok {
		return WithNamespace(ctx, ns)
	}
	return ctx
}
