//go:build mesh

package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Consul is a real server in a namespace, reached over unix sockets only; it answers names there.
type Consul struct {
	t    testing.TB
	http http.Client
}

// startConsul starts a server in the wire's namespace. Its API is on these unix sockets, its names
// on port 53 of the address.
func startConsul(t testing.TB, wire *Space, dir, address string, sockets ...string) *Consul {
	t.Helper()
	urls := make([]string, len(sockets))
	for i, socket := range sockets {
		urls[i] = "unix://" + socket
	}
	config, err := json.Marshal(M{"node_name": "node", "log_level": "warn", "bind_addr": "127.0.0.1",
		"disable_update_check": true, "unix_sockets": M{"mode": "0666"},
		"addresses": M{"http": strings.Join(urls, " "), "dns": address}, "ports": M{"dns": 53, "grpc": -1}})
	check(t, err)
	path := filepath.Join(dir, "consul.json")
	check(t, os.WriteFile(path, config, 0o644))
	said := &Log{}
	cmd := exec.Command(os.Getenv("AGENT_CONSUL"), "agent", "-dev", "-config-file", path)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, []string{"PATH=/usr/bin:/bin", "HOME=" + dir}, said, said
	wire.within(func() { err = cmd.Start() })
	check(t, err)
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("Consul said:\n%s", tail(said.String(), 20))
		}
	})
	c := &Consul{t: t}
	c.http.Timeout = 5 * time.Second
	c.http.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "unix", sockets[0])
	}}
	Eventually(t, 20*time.Second, "a Consul that writes and signs", func() bool {
		_, wrote := c.call("PUT", "/v1/kv/ready", "yes")
		roots, err := c.call("GET", "/v1/connect/ca/roots", nil)
		return wrote == nil && err == nil && strings.Contains(roots, "BEGIN CERTIFICATE")
	})
	return c
}

// call is one request; the body is text or something to be JSON.
func (c *Consul) call(method, path string, body any) (string, error) {
	text, isText := body.(string)
	if !isText && body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return "", err
		}
		text = string(encoded)
	}
	request, err := http.NewRequest(method, "http://consul"+path, bytes.NewReader([]byte(text)))
	if err != nil {
		return "", err
	}
	reply, err := c.http.Do(request)
	if err != nil {
		return "", err
	}
	defer reply.Body.Close()
	all, err := io.ReadAll(reply.Body)
	if err == nil && reply.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: status %d: %s", method, path, reply.StatusCode, all)
	}
	return string(all), err
}

// must is a call that has to work.
func (c *Consul) must(method, path string, body any) string {
	c.t.Helper()
	reply, err := c.call(method, path, body)
	check(c.t, err)
	return reply
}

// register makes a service at the address known, with a check that somebody must report (as Nomad
// does for script checks) and a proxy before it.
func (c *Consul) register(name, address string, port int, proxy M) {
	c.t.Helper()
	c.must("PUT", "/v1/agent/service/register", M{"ID": name, "Name": name, "Address": address, "Port": port,
		"Check": M{"CheckID": name + "-script", "Name": "script", "TTL": "10m"},
		"Connect": M{"SidecarService": M{"Port": meshPort, "Address": address, "Proxy": proxy, "Checks": []any{
			M{"Name": "listening", "TCP": fmt.Sprintf("%s:%d", address, meshPort), "Interval": "250ms"},
			M{"Name": "service", "AliasService": name}}}}})
}

// intend says whether one service may call another; the later word holds.
func (c *Consul) intend(action, from, to string) {
	c.t.Helper()
	var list []struct{ ID, SourceName, DestinationName string }
	check(c.t, json.Unmarshal([]byte(c.must("GET", "/v1/connect/intentions", nil)), &list))
	intention := M{"SourceName": from, "DestinationName": to, "SourceType": "consul", "Action": action}
	for _, known := range list {
		if known.SourceName == from && known.DestinationName == to {
			c.must("PUT", "/v1/connect/intentions/"+known.ID, intention)
			return
		}
	}
	c.must("POST", "/v1/connect/intentions", intention)
}

// report does with the result of a command in a task what Nomad does for a script check.
func (c *Consul) report(name string, result M, err error) string {
	c.t.Helper()
	status, output := "critical", result.Str("stdout")
	switch {
	case err != nil:
		output = err.Error()
	case result.Int("result.exit_code") == 0:
		status = "passing"
	case result.Int("result.exit_code") == 1:
		status = "warning"
	}
	c.must("PUT", "/v1/agent/check/update/"+name+"-script", M{"Status": status, "Output": output})
	return status
}

// passing counts the instances of a service that the mesh may be led to.
func (c *Consul) passing(name string) int {
	c.t.Helper()
	var list []any
	check(c.t, json.Unmarshal([]byte(c.must("GET", "/v1/health/connect/"+name+"?passing", nil)), &list))
	return len(list)
}
