// Command tls is a TLS server in many namespaces: crypto/tls with a goroutine for each
// connection or, with -loop, tlshandler on an engine.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"log"
	"math/big"
	"time"

	"github.com/nsreactor/nsreactor/bench/internal/serve"
)

// What a server does with a connection.
const (
	echo = "echo" // return what arrives
	up   = "up"   // take it
	down = "down" // send without end
)

func main() {
	loop := flag.Bool("loop", false, "an engine instead of a goroutine for each connection")
	kind := flag.String("kind", echo, "echo: return what arrives; up: take it; down: send without end")
	options := serve.Parse()
	if *kind != echo && *kind != up && *kind != down {
		log.Fatalf("-kind: want echo, up or down, got %q", *kind)
	}
	cert, err := newCertificate()
	if err != nil {
		log.Fatal(err)
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{cert}}
	run := onGoroutines
	if *loop {
		run = onLoop
	}
	if err := run(cfg, *kind, &options); err != nil {
		log.Fatal(err)
	}
}

// newCertificate is one that nobody else trusts.
func newCertificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour), DNSNames: []string{"bench"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}
