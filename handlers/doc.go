// Package handlers has ready-made implementations of [engine.Handler]: to
// serve as they are, to embed, or to read before writing one.
//
//	eng, err := engine.New(engine.Config{})
//	…
//	err = eng.Handle("tcp", 7, handlers.Echo{}, engine.AnyNamespace)
//	err = eng.Handle("tcp", 9, handlers.Discard{}, engine.AnyNamespace)
//	err = eng.Watch(nsctx.NamedDir)
//
// None of them needs its thread to be in the connection's namespace, so all
// may be registered with [engine.AnyNamespace].
package handlers
