module github.com/nsreactor/nsreactor/examples/grpc

go 1.26.0

require (
	github.com/nsreactor/nsreactor v0.0.0
	google.golang.org/grpc v1.85.0
)

require (
	github.com/miekg/dns v1.1.73 // indirect
	github.com/panjf2000/gnet/v2 v2.9.7 // indirect
	github.com/vishvananda/netlink v1.3.1 // indirect
	github.com/vishvananda/netns v0.0.5 // indirect
	go.uber.org/goleak v1.3.0 // indirect
	golang.org/x/net v0.60.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/text v0.42.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260817212433-ac3dfec99bb1 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
)

replace github.com/nsreactor/nsreactor => ../..
