package main

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/nsreactor/nsreactor/engine"
)

// health answers for the namespace that it is asked in, whose name goes out as the
// header "netns".
type health struct {
	grpc_health_v1.UnimplementedHealthServer
}

// namespace is where a call comes from.
func namespace(ctx context.Context) (*engine.Namespace, error) {
	p, _ := peer.FromContext(ctx)
	info, ok := p.AuthInfo.(AuthInfo)
	if !ok {
		return nil, status.Error(codes.Internal, "no credentials that know the namespace")
	}
	return info.Namespace, nil
}

// Check is a call with one answer.
func (health) Check(ctx context.Context, _ *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	ns, err := namespace(ctx)
	if err != nil {
		return nil, err
	}
	if err := grpc.SetHeader(ctx, metadata.Pairs("netns", ns.Name())); err != nil {
		return nil, err
	}
	return answer(ns), nil
}

// Watch is a call with a stream of answers: it says at once when the namespace begins
// to drain.
func (health) Watch(_ *grpc_health_v1.HealthCheckRequest, stream grpc_health_v1.Health_WatchServer) error {
	ns, err := namespace(stream.Context())
	if err != nil {
		return err
	}
	if err := stream.SetHeader(metadata.Pairs("netns", ns.Name())); err != nil {
		return err
	}
	if err := stream.Send(answer(ns)); err != nil {
		return err
	}
	select {
	case <-ns.Draining():
		return stream.Send(answer(ns))
	case <-stream.Context().Done():
		return stream.Context().Err()
	}
}

func answer(ns *engine.Namespace) *grpc_health_v1.HealthCheckResponse {
	if ns.State() == engine.StateServing {
		return &grpc_health_v1.HealthCheckResponse{Status: grpc_health_v1.HealthCheckResponse_SERVING}
	}
	return &grpc_health_v1.HealthCheckResponse{Status: grpc_health_v1.HealthCheckResponse_NOT_SERVING}
}
