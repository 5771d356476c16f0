// SPDX-License-Identifier: Apache-2.0

// The other half of the interoperation test, on containerd's ttrpc:
// `interop serve SOCKET` offers the service, `interop check SOCKET` checks the C++ one.
// ttrpc_echo.cc describes the service.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/gogo/protobuf/types"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const service = "kata.interop.Echo"

func method(answer func(ctx context.Context, text string) (string, error)) ttrpc.Method {
	return func(ctx context.Context, unmarshal func(interface{}) error) (interface{}, error) {
		var request types.BytesValue
		if err := unmarshal(&request); err != nil {
			return nil, err
		}
		text, err := answer(ctx, string(request.Value))
		return &types.BytesValue{Value: []byte(text)}, err
	}
}

func serve(path string) error {
	listener, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	server, err := ttrpc.NewServer()
	if err != nil {
		return err
	}
	server.Register(service, map[string]ttrpc.Method{
		"Echo": method(func(_ context.Context, text string) (string, error) { return text, nil }),
		"Fail": method(func(_ context.Context, text string) (string, error) {
			code, _ := strconv.Atoi(text)
			return "", status.Error(codes.Code(code), "failed as asked")
		}),
		"Meta": method(func(ctx context.Context, _ string) (string, error) {
			md, _ := ttrpc.GetMetadata(ctx)
			colors, _ := md.Get("color")
			return strings.Join(colors, ","), nil
		}),
		"Large": method(func(_ context.Context, text string) (string, error) {
			size, _ := strconv.Atoi(text)
			return strings.Repeat("x", size), nil
		}),
		"Wait": method(func(ctx context.Context, _ string) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		}),
	})
	return server.Serve(context.Background(), listener)
}

type checker struct {
	client   *ttrpc.Client
	failures int
}

func (c *checker) call(ctx context.Context, method, text string) (string, error) {
	var answer types.BytesValue
	err := c.client.Call(ctx, service, method, &types.BytesValue{Value: []byte(text)}, &answer)
	return string(answer.Value), err
}

func (c *checker) expect(good bool, what string, details ...interface{}) {
	word := "ok  "
	if !good {
		word = "FAIL"
		c.failures++
		what += " " + fmt.Sprint(details...)
	}
	fmt.Println(word, "Go client:", what)
}

func (c *checker) expectCode(want codes.Code, what, method, text string) {
	_, err := c.call(context.Background(), method, text)
	c.expect(status.Code(err) == want, what, err)
}

func (c *checker) checkParallel() {
	var wait sync.WaitGroup
	var mutex sync.Mutex
	right := 0
	for i := 0; i < 200; i++ {
		wait.Add(1)
		go func(text string) {
			defer wait.Done()
			answer, err := c.call(context.Background(), "Echo", text)
			mutex.Lock()
			defer mutex.Unlock()
			if err == nil && answer == text {
				right++
			}
		}(strconv.Itoa(i) + strings.Repeat("x", i*100))
	}
	wait.Wait()
	c.expect(right == 200, "200 calls at a time", right)
}

func check(path string) error {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return err
	}
	c := checker{client: ttrpc.NewClient(conn)}
	defer c.client.Close()
	ctx := context.Background()

	for _, text := range []string{"hello", ""} {
		answer, err := c.call(ctx, "Echo", text)
		c.expect(err == nil && answer == text, "echo of \""+text+"\"", err)
	}
	for code := 1; code <= 16; code++ {
		_, err := c.call(ctx, "Fail", strconv.Itoa(code))
		s, _ := status.FromError(err)
		c.expect(s.Code() == codes.Code(code) && s.Message() == "failed as asked",
			"status "+codes.Code(code).String(), err)
	}
	md := ttrpc.MD{}
	md.Append("color", "red", "blue")
	md.Set("size", "big")
	answer, err := c.call(ttrpc.WithMetadata(ctx, md), "Meta", "")
	c.expect(err == nil && answer == "red,blue", "metadata", answer, err)

	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	start := time.Now()
	_, err = c.call(short, "Wait", "")
	cancel()
	c.expect(err != nil && time.Since(start) < 5*time.Second, "a timeout ends a call", err)

	c.expectCode(codes.Unimplemented, "unknown method", "Nope", "")
	err = c.client.Call(ctx, "no.such.Service", "Echo", &types.BytesValue{}, &types.BytesValue{})
	c.expect(status.Code(err) == codes.Unimplemented, "unknown service", err)

	large := strings.Repeat("x", 4<<20-200)
	answer, err = c.call(ctx, "Echo", large)
	c.expect(err == nil && answer == large, "almost 4 MiB", err)
	c.expectCode(codes.ResourceExhausted, "a request above 4 MiB is refused", "Echo", large+large)
	c.expectCode(codes.ResourceExhausted, "a response above 4 MiB is refused", "Large",
		strconv.Itoa(5<<20))
	answer, err = c.call(ctx, "Echo", "after")
	c.expect(err == nil && answer == "after", "and the connection goes on", err)
	c.checkParallel()
	if c.failures > 0 {
		return fmt.Errorf("%d checks failed", c.failures)
	}
	return nil
}

func main() {
	modes := map[string]func(string) error{"serve": serve, "check": check}
	if len(os.Args) != 3 || modes[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: interop serve|check SOCKET")
		os.Exit(2)
	}
	if err := modes[os.Args[1]](os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		os.Exit(1)
	}
}
