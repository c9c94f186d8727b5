package tlshandler

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/nsreactor/nsreactor/engine"
)

// ErrBadSite is a Site that can't be used.
var ErrBadSite = errors.New("bad site")

// Site is a certificate and for whom it is.
type Site struct {
	// Namespaces is a pattern, as of [path.Match], of the names of the namespaces
	// that the site is for, such as "tenant-*". Default: all.
	Namespaces string
	// ServerNames are the names that a client may ask for: "www.example.com", or
	// "*.example.com" for all that have one label more. Default: all, and
	// clients that ask for none.
	ServerNames []string
	// CertFile and KeyFile are PEM files: the certificate with the chain that is to be
	// sent, and its key.
	CertFile, KeyFile string
	// ClientCAFile is a PEM file of the authorities whose client certificates are
	// taken. With it, a client needs one unless Base.ClientAuth says otherwise.
	ClientCAFile string
	// Base is all the rest: NextProtos, MinVersion … The default is crypto/tls's,
	// TLS 1.2 and 1.3.
	Base *tls.Config
}

// Store answers clients with the certificate of the first of its sites that is for
// them. The files can be loaded again at any time: new handshakes get what is
// new, connections stay. Its methods may be called by any goroutine.
type Store struct {
	sites  []Site
	loaded atomic.Pointer[[]*tls.Config] // of sites
}

// NewStore loads the files. The error is an [ErrBadSite], also for a file that
// can't be used.
func NewStore(sites ...Site) (*Store, error) {
	s := &Store{sites: slices.Clone(sites)}
	for i := range s.sites {
		if err := s.sites[i].check(); err != nil {
			return nil, err
		}
	}
	if err := s.Reload(); err != nil {
		return nil, err
	}
	return s, nil
}

// Reload loads the files again: all or, with an error, none of them, and the Store
// goes on with what it has. Sessions can be resumed after it, but for those whose client
// certificate the site would not take any more.
func (s *Store) Reload() error {
	configs := make([]*tls.Config, len(s.sites))
	var errs []error
	for i := range s.sites {
		cfg, err := s.sites[i].load()
		if err != nil {
			errs = append(errs, err)
		}
		configs[i] = cfg
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	s.loaded.Store(&configs)
	return nil
}

// GetConfig is a [Config.GetConfig]. Where no site is for the client it is an
// [ErrUnknownName].
func (s *Store) GetConfig(hello *Hello) (*tls.Config, error) {
	name := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	for i := range s.sites {
		if site := &s.sites[i]; site.serves(hello.Namespace) && site.hasName(name) {
			return (*s.loaded.Load())[i], nil
		}
	}
	return nil, ErrUnknownName
}

func (s *Site) check() error {
	if _, err := path.Match(s.Namespaces, ""); err != nil {
		return fmt.Errorf("%w: namespaces %q: %w", ErrBadSite, s.Namespaces, err)
	}
	names := make([]string, len(s.ServerNames))
	for i, name := range s.ServerNames {
		if name == "" || strings.Contains(strings.TrimPrefix(name, "*."), "*") {
			return fmt.Errorf("%w: server name %q", ErrBadSite, name)
		}
		names[i] = strings.ToLower(strings.TrimSuffix(name, "."))
	}
	s.ServerNames = names
	return nil
}

// serves reports whether a site is for a namespace.
func (s *Site) serves(ns *engine.Namespace) bool {
	if s.Namespaces == "" {
		return true
	}
	return slices.ContainsFunc(ns.Names(), func(name string) bool {
		match, _ := path.Match(s.Namespaces, name) // check has seen the pattern
		return match
	})
}

// hasName reports whether a site is for a server name, in lower case.
func (s *Site) hasName(name string) bool {
	if len(s.ServerNames) == 0 {
		return true
	}
	_, parent, _ := strings.Cut(name, ".")
	return slices.ContainsFunc(s.ServerNames, func(n string) bool {
		return n == name || parent != "" && n == "*."+parent
	})
}

// load makes the tls.Config of a site from its files.
func (s *Site) load() (*tls.Config, error) {
	cfg := &tls.Config{}
	if s.Base != nil {
		cfg = s.Base.Clone()
	}
	cert, err := tls.LoadX509KeyPair(s.CertFile, s.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrBadSite, s.CertFile, err)
	}
	cfg.Certificates = []tls.Certificate{cert}
	if s.ClientCAFile == "" {
		return cfg, nil
	}
	pem, err := os.ReadFile(s.ClientCAFile)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadSite, err)
	}
	cfg.ClientCAs = x509.NewCertPool()
	if !cfg.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%w: no certificate in %s", ErrBadSite, s.ClientCAFile)
	}
	if cfg.ClientAuth == tls.NoClientCert {
		cfg.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return cfg, nil
}
