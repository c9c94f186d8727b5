// Package tenant reads tenants.yaml, and makes of it what sessions ask for: which tenant a
// namespace belongs to, and which targets, volumes, secrets and limits that tenant has.
//
// A [File] is what the file says, checked as a whole: [Load] returns every mistake at once,
// each with its line. A [Directory] is what is served; it takes one File after another
// without ending a session that need not end.
//
// A namespace is one tenant's or nobody's. All that a session can name is looked up in the
// tenant of its connection's namespace, so that another's target is not refused but unknown.
package tenant
