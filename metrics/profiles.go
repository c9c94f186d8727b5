package metrics

import (
	"fmt"
	"html"
	"io"
	"net/http"
	"os"
	"runtime"
	"runtime/pprof"
	"runtime/trace"
	"strconv"
	"strings"
	"time"
)

// The profiles are served from here and not by net/http/pprof because that
// package, once imported, adds itself to http.DefaultServeMux: a program that
// serves that one to the world would show its profiles with it.

// How long a CPU profile or a trace takes, in seconds, and may take.
const (
	defaultProfileSeconds = 30
	defaultTraceSeconds   = 1
	maxProfileSeconds     = 600
)

func routeProfiles(mux *http.ServeMux) {
	const cpu, execution = "/debug/pprof/profile", "/debug/pprof/trace"
	mux.HandleFunc("GET /debug/pprof/{$}", profileIndex)
	mux.HandleFunc("GET /debug/pprof/{name}", namedProfile)
	mux.HandleFunc("GET /debug/pprof/cmdline", commandLine)
	mux.Handle("GET "+cpu, recorder{pprof.StartCPUProfile, pprof.StopCPUProfile, defaultProfileSeconds})
	mux.Handle("GET "+execution, recorder{trace.Start, trace.Stop, defaultTraceSeconds})
}

// recorder serves what is recorded over a time given by ?seconds=.
type recorder struct {
	start   func(io.Writer) error
	stop    func()
	seconds float64
}

func (p recorder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	duration, err := p.duration(r)
	if err != nil {
		writeJSON(w, http.StatusBadRequest, errorPage{err.Error()})
		return
	}
	asFile(w, "profile")
	if r.Method == http.MethodHead {
		return
	}
	// An error means that w is no connection, and so has no deadline.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(duration + writeTimeout))
	if err := p.start(w); err != nil {
		w.Header().Del("Content-Disposition")
		writeJSON(w, http.StatusConflict, errorPage{err.Error()}) // somebody else is recording
		return
	}
	defer p.stop()
	select {
	case <-time.After(duration):
	case <-r.Context().Done():
	}
}

func (p recorder) duration(r *http.Request) (time.Duration, error) {
	seconds := p.seconds
	if s := r.FormValue("seconds"); s != "" {
		var err error
		if seconds, err = strconv.ParseFloat(s, 64); err != nil {
			return 0, fmt.Errorf("seconds: %w", err)
		}
	}
	if !(seconds > 0 && seconds <= maxProfileSeconds) { // NaN is neither
		return 0, fmt.Errorf("seconds: %v is not above 0 and up to %d", seconds, maxProfileSeconds)
	}
	return time.Duration(seconds * float64(time.Second)), nil
}

// namedProfile serves one of runtime/pprof's: ?debug=1 makes it text, ?gc=1
// collects garbage before a heap profile.
func namedProfile(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	profile := pprof.Lookup(name)
	if profile == nil {
		writeJSON(w, http.StatusNotFound, errorPage{fmt.Sprintf("no profile %q", name)})
		return
	}
	if r.FormValue("seconds") != "" {
		writeJSON(w, http.StatusBadRequest, errorPage{"seconds: only profile and trace have a duration"})
		return
	}
	debug, err := number(r, "debug")
	if err != nil {
		writeJSON(w, http.StatusBadRequest, errorPage{err.Error()})
		return
	}
	gc, err := number(r, "gc")
	if err != nil {
		writeJSON(w, http.StatusBadRequest, errorPage{err.Error()})
		return
	}
	if gc > 0 && name == "heap" {
		runtime.GC()
	}
	if debug > 0 {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	} else {
		asFile(w, name)
	}
	_ = profile.WriteTo(w, debug) // fails with the connection
}

// number is a parameter, 0 if it isn't given.
func number(r *http.Request, name string) (int, error) {
	s := r.FormValue(name)
	if s == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return n, nil
}

func asFile(w http.ResponseWriter, name string) {
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
}

func commandLine(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, strings.Join(os.Args, "\x00"))
}

func profileIndex(w http.ResponseWriter, _ *http.Request) {
	var b strings.Builder
	b.WriteString("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>profiles</title></head><body>\n<ul>\n")
	for _, name := range []string{"profile?seconds=30", "trace?seconds=1", "cmdline"} {
		fmt.Fprintf(&b, "<li><a href=\"%s\">%s</a></li>\n", name, name)
	}
	for _, p := range pprof.Profiles() {
		name := html.EscapeString(p.Name())
		fmt.Fprintf(&b, "<li><a href=\"%s?debug=1\">%s</a>: %d</li>\n", name, name, p.Count())
	}
	b.WriteString("</ul>\n</body></html>\n")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = io.WriteString(w, b.String())
}
