// Package nstest makes throw-away network namespaces for tests and
// demonstrations. It needs neither root nor the ip program: [Main] and [Reexec]
// run the program again in a user namespace of its own if it has to.
//
//	func TestMain(m *testing.M) { nstest.Main(m) }
//
//	func TestEcho(t *testing.T) {
//		lab := nstest.New(t)
//		tenant := lab.MustAdd(t, "a")
//		…
//		conn, err := tenant.Dial(ctx, "tcp", 7)
//	}
//
// A tenant is a namespace with a name in the lab's directory, joined to a peer
// namespace by a veth pair. All tenants have the same addresses:
//
//	tenant 10.77.0.1/24, fd77::1/64  ─veth─  peer 10.77.0.2/24, fd77::2/64
package nstest
