package main

import (
	"testing"

	"github.com/nsreactor/nsreactor/examples/internal/programtest"
)

func TestMain(m *testing.M) { programtest.Main(m, main) }
