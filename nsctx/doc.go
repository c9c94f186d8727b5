// Package nsctx knows Linux network namespaces: it finds and identifies them,
// moves a thread between them, watches them come and go, and proves that one
// is gone. It is the only package of the module that calls setns(2).
//
//   - A [Ref] says how to find a namespace; [Ref.Open] gives a [Namespace],
//     which pins it with one descriptor.
//   - An [ID] tells namespaces apart. Names do not: two names can be mounts of
//     one namespace, and a name can come back as another namespace.
//   - A [Thread] is an OS thread that remembers where it is, so that entering
//     the namespace it is in already costs a comparison and no system call.
//   - [Namespace.Do] runs a function in a namespace, once, on a throw-away
//     goroutine.
//   - A [Watcher] reports the namespaces that appear in and vanish from a
//     directory such as /run/netns.
//   - A [Release] names a namespace without pinning it.
//
// Entering a namespace needs CAP_SYS_ADMIN in the user namespace that owns it
// and in one's own; opening and identifying one does not. The package needs
// /proc.
//
// # Threads
//
// A goroutine that changes its thread's namespace must be locked to the thread,
// and must not unlock before the thread is back, or whatever goroutine runs
// there next inherits the namespace. Thread and Do see to that. The main thread
// is never moved: its namespace is what /proc/self and /proc/PID show of the
// process.
package nsctx
