package updater

import (
	"net/http"
	"strings"

	"github.com/proa-os/proa/fetch"
	"github.com/proa-os/proa/fetch/registry"
)

// lookAt makes the repository at hand the only one, if there is one.
func (c *Config) lookAt() {
	if c.From == nil {
		return
	}
	// It is for where there is no network, and no rate of one.
	c.Settings.Repository, c.Settings.Neighbours, c.Settings.RateLimit = c.From.URL(), nil, 0
}

// client is for the repository: on the web, in a registry, or at hand.
func (c *Config) client(limit *fetch.Limiter) (*fetch.Client, error) {
	settings, agent := c.Settings, "proa-agent/"+c.Version
	schemes := map[string]func(http.RoundTripper) http.RoundTripper{}
	if c.From != nil {
		schemes["file"] = func(http.RoundTripper) http.RoundTripper { return c.From }
	}
	if strings.HasPrefix(settings.Repository, registry.Scheme+":") {
		reference, err := registry.ParseReference(settings.Repository)
		if err != nil {
			return nil, err
		}
		schemes[registry.Scheme] = func(pool http.RoundTripper) http.RoundTripper {
			return registry.New(registry.Config{
				Reference: reference, Pool: pool, UserAgent: agent, Patience: c.Patience, Credentials: c.Host.RegistryAuth,
			})
		}
	}
	return fetch.New(fetch.Config{
		Base:        settings.Repository,
		UserAgent:   agent,
		Patience:    c.Patience,
		Connections: settings.Connections,
		Proxy:       settings.Proxy,
		Limit:       limit,
		Schemes:     schemes,
	})
}
