// Package programtest runs an example program in its tests: in the test's own process,
// where leaks are found, or in one of its own, for signals and privileges.
//
//	func TestMain(m *testing.M) { programtest.Main(m, main) }
//
//	func TestIt(t *testing.T) {
//		p := programtest.Launch(t, run, "-netns-dir", lab.Dir())
//		p.Await(t, "msg=ready")
//		…
//		p.Stop()
//		p.Wait(t, 0)
//	}
package programtest
