package demo

import (
	"bufio"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/nsreactor/nsreactor/nsctx"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// crowd is the clients of one namespace.
type crowd struct {
	name     string
	id       nsctx.ID
	messages atomic.Uint64 // verified

	clients []*client
	stop    chan struct{}
	talking sync.WaitGroup

	mu   sync.Mutex
	errs []error // one for each client that failed
}

// gather connects clients to a tenant, and wants them greeted by its namespace.
// If ctx ends, so do their connections, now and later.
func gather(ctx context.Context, t *nstest.Tenant, size, port int, anywhere bool) (*crowd, error) {
	c := &crowd{name: t.Name, id: t.NS.ID(), stop: make(chan struct{})}
	place, err := placeOf(t.NS, anywhere)
	if err != nil {
		return nil, err
	}
	for i := range size {
		client, err := c.dial(ctx, t, i, port)
		if err == nil {
			c.clients = append(c.clients, client)
			err = client.greeted(place)
		}
		if err != nil {
			c.hangUp()
			return nil, fmt.Errorf("client %d of %s: %w", i, t.Name, err)
		}
	}
	return c, nil
}

// begin lets the clients talk, until stop is closed or ctx ends.
func (c *crowd) begin(ctx context.Context) {
	for _, client := range c.clients {
		c.talking.Go(func() { c.talk(ctx, client) })
	}
}

// hangUp is for clients that do not talk.
func (c *crowd) hangUp() {
	for _, client := range c.clients {
		client.hangUp()
	}
}

// placeOf is what a thread in the namespace should say of itself.
func placeOf(ns *nsctx.Namespace, anywhere bool) (place string, err error) {
	if anywhere {
		return noPlace, nil
	}
	err = ns.Do(func() error {
		place, err = threadPlace()
		return err
	})
	return place, err
}

func (c *crowd) dial(ctx context.Context, t *nstest.Tenant, number, port int) (*client, error) {
	conn, err := t.Dial(ctx, "tcp", port)
	if err != nil {
		return nil, err
	}
	return &client{
		name: fmt.Sprintf("%s/%d", t.Name, number), prefix: c.id.String() + " ",
		conn: conn, in: bufio.NewReader(conn), messages: &c.messages,
		forget: context.AfterFunc(ctx, func() { _ = conn.Close() }),
	}, nil
}

func (c *crowd) talk(ctx context.Context, client *client) {
	defer client.hangUp()
	if err := client.talk(c.stop); err != nil && ctx.Err() == nil {
		c.mu.Lock()
		c.errs = append(c.errs, fmt.Errorf("%s: %w", client.name, err))
		c.mu.Unlock()
	}
}

func (c *crowd) failures() []error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clip(c.errs)
}

// traffic is the bytes that the clients have sent and received, once they talk
// no more.
func (c *crowd) traffic() (sent, received uint64) {
	for _, client := range c.clients {
		sent += client.sent
		received += client.received
	}
	return sent, received
}
