package images

import (
	"crypto/tls"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
)

// registries say how registries are spoken to. Their connections are shared by all pulls.
type registries struct {
	insecure map[string]string // host to scheme
	verified *http.Client
	trusting *http.Client
}

func newRegistries(insecure []string, answer time.Duration) *registries {
	r := &registries{
		insecure: map[string]string{},
		verified: &http.Client{Transport: transport(answer, nil)},
		trusting: &http.Client{Transport: transport(answer, &tls.Config{InsecureSkipVerify: true})},
	}
	for _, host := range insecure {
		scheme := "http"
		if h, ok := strings.CutPrefix(host, "https://"); ok {
			scheme, host = "https", h
		}
		r.insecure[strings.TrimSuffix(strings.TrimPrefix(host, "http://"), "/")] = scheme
	}
	return r
}

// transport gives up on a registry that does not connect, or does not begin to answer.
func transport(answer time.Duration, config *tls.Config) *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: min(answer, 30*time.Second),
		IdleConnTimeout:       30 * time.Second,
		MaxIdleConnsPerHost:   parallelDownloads,
		ForceAttemptHTTP2:     true,
		TLSClientConfig:       config,
	}
}

// resolver gives a resolver for one image. The credentials are for the image's own registry, and for no other.
func (r *registries) resolver(name, username, password string) remotes.Resolver {
	domain := domainOf(name)
	host := domain
	if domain == "docker.io" {
		host = "registry-1.docker.io"
	}
	c := docker.RegistryHost{
		Client: r.verified, Host: host, Scheme: "https", Path: "/v2",
		Capabilities: docker.HostCapabilityPull | docker.HostCapabilityResolve,
	}
	if scheme, ok := r.insecure[domain]; ok {
		c.Scheme, c.Client = scheme, r.trusting
	} else if local, err := docker.MatchLocalhost(domain); err == nil && local {
		c.Scheme = "http"
	}
	c.Authorizer = docker.NewDockerAuthorizer(
		docker.WithAuthClient(c.Client),
		docker.WithAuthCreds(func(h string) (string, string, error) {
			if h == host {
				return username, password, nil
			}
			return "", "", nil
		}))
	return docker.NewResolver(docker.ResolverOptions{
		Hosts: func(string) ([]docker.RegistryHost, error) { return []docker.RegistryHost{c}, nil },
	})
}

// close ends connections that are kept open.
func (r *registries) close() {
	r.verified.CloseIdleConnections()
	r.trusting.CloseIdleConnections()
}
