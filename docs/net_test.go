package docs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/engine"
)

// snippet http
func serveHTTP(eng *engine.Engine) (*http.Server, error) {
	ln, err := eng.Listener(7000) // in every namespace, now and later
	if err != nil {
		return nil, err
	}
	srv := &http.Server{
		ConnContext: engine.ConnContext,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ns, _ := engine.NamespaceFromContext(r.Context())
			fmt.Fprintf(w, "hello %s\n", ns.Name())
		}),
		ReadHeaderTimeout: 10 * time.Second,
	}
	go func() {
		if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			fmt.Println(err)
		}
	}()
	return srv, nil
}

// end

func TestHTTP(t *testing.T) {
	eng, lab := start(t)
	srv, err := serveHTTP(eng)
	must(t, err)
	must(t, eng.Watch(lab.Dir()))
	for _, tenant := range []string{"tenant-a", "tenant-b"} {
		conn := dial(t, lab, tenant)
		_, _ = fmt.Fprint(conn, "GET / HTTP/1.0\r\n\r\n")
		got, err := io.ReadAll(conn)
		if want := "hello " + tenant + "\n"; err != nil || len(got) < len(want) || string(got[len(got)-len(want):]) != want {
			t.Errorf("%s: %q, %v", tenant, got, err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	must(t, srv.Shutdown(ctx))
}
