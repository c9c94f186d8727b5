package main

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// load is connections that wait, or send messages.
type load struct {
	options
	conns []*tls.Conn
	pids  []int // whose CPU time is counted

	running   sync.WaitGroup
	measuring atomic.Bool
	answered  atomic.Uint64

	mu        sync.Mutex
	err       error
	latencies *hdrhistogram.Histogram
}

func newLoad(o options, conns []*tls.Conn) *load {
	return &load{options: o, conns: conns, latencies: hdrhistogram.New(1, int64(2*time.Minute), 3)}
}

func (l *load) watch(words []string) error {
	l.pids = nil
	for _, word := range words {
		pid, err := strconv.Atoi(word)
		if err != nil {
			return err
		}
		l.pids = append(l.pids, pid)
	}
	return nil
}

// start has every connection send messages, one at least, until more says no.
func (l *load) start(more func() bool) {
	for _, conn := range l.conns {
		l.running.Go(func() {
			if err := l.messages(conn, more); err != nil {
				l.mu.Lock()
				l.err = errors.Join(l.err, err)
				l.mu.Unlock()
			}
		})
	}
}

// wait waits for the messages that are out.
func (l *load) wait() error {
	l.running.Wait()
	return l.err
}

func (l *load) messages(conn *tls.Conn, more func() bool) error {
	buffer := make([]byte, l.size)
	for {
		before := time.Now()
		if err := l.message(conn, buffer); err != nil {
			return err
		}
		l.answered.Add(1)
		if l.measuring.Load() {
			l.mu.Lock()
			_ = l.latencies.RecordValue(int64(time.Since(before))) // none takes two minutes
			l.mu.Unlock()
		}
		if !more() {
			return nil
		}
	}
}

func (l *load) message(conn *tls.Conn, buffer []byte) error {
	if l.kind != "tls-down" {
		if _, err := conn.Write(buffer); err != nil {
			return err
		}
	}
	if l.kind == "tls-up" {
		return nil
	}
	_, err := io.ReadFull(conn, buffer)
	return err
}

// report is what is printed of a window; see trial's loadReport.
type report struct {
	Messages    uint64     `json:"messages"`
	Seconds     float64    `json:"seconds"`
	Rate        float64    `json:"rate"`
	Connections int        `json:"connections"`
	CPUShare    float64    `json:"cpu_share"`
	Watched     float64    `json:"watched_cpu_seconds"`
	Answered    uint64     `json:"answered"`
	Latency     [][2]int64 `json:"latency"`
}

// run loads the server, and prints what that came to.
func (l *load) run(seconds, warmup float64) error {
	var stop atomic.Bool
	l.latencies.Reset()
	l.start(func() bool { return !stop.Load() })
	pause(warmup)
	fmt.Println("start")
	server, own, began, before := usedBy(l.pids...), usedBy(os.Getpid()), time.Now(), l.answered.Load()
	l.measuring.Store(true)
	pause(seconds)
	l.measuring.Store(false)
	r := report{Connections: len(l.conns), Messages: l.answered.Load() - before, Seconds: time.Since(began).Seconds()}
	r.Watched, r.CPUShare = (usedBy(l.pids...) - server).Seconds(), (usedBy(os.Getpid())-own).Seconds()/r.Seconds
	fmt.Println("stop")
	pause(cooldown)
	stop.Store(true)
	if err := l.wait(); err != nil {
		return err
	}
	r.Rate, r.Answered = float64(r.Messages)/r.Seconds, l.answered.Load()
	for _, bar := range l.latencies.Distribution() {
		if bar.Count > 0 {
			r.Latency = append(r.Latency, [2]int64{bar.To, bar.Count})
		}
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

// cooldown is how long the load outlives "stop", in seconds.
const cooldown = 0.02

func pause(seconds float64) { time.Sleep(time.Duration(seconds * float64(time.Second))) }
