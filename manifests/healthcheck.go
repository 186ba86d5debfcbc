package manifests

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"
	"time"
)

// HealthCheck is one thing that must be true of a release that is to lead: in a
// recipe, and in the agent's configuration. Exactly one of Unit and HTTP is set.
type HealthCheck struct {
	Name    string   `yaml:"name" json:"name,omitempty" jsonschema:"description=What messages call it (default: the unit; or host and path of the URL)"`
	Unit    string   `yaml:"unit" json:"unit,omitempty" jsonschema:"description=A systemd unit that must be active such as sshd.service"`
	HTTP    string   `yaml:"http" json:"http,omitempty" jsonschema:"description=A URL that must answer; it is asked without a proxy and redirects are not followed"`
	Status  Statuses `yaml:"status,single" json:"status,omitempty" jsonschema:"description=With http: the status that counts as healthy or a list (default: 200 to 299)"`
	Socket  string   `yaml:"socket" json:"socket,omitempty" jsonschema:"description=With http: the absolute path of a unix socket to ask instead of the network"`
	Timeout Duration `yaml:"timeout" json:"timeout,omitzero" jsonschema:"description=Time of one attempt such as 10s (default: healthTimeout of the agent)"`
	Limit   Duration `yaml:"limit" json:"limit,omitzero" jsonschema:"description=Time of all attempts such as 2m (default: healthLimit of the agent)"`
}

// Statuses are HTTP status codes; one alone needs no list.
type Statuses []int

// What a health check may be at the most.
const (
	mostHealthChecks = 64
	mostHealthTime   = Duration(24 * time.Hour)
)

// unitName is what systemd.unit(5) allows, of the types that are ever active
// for a reason.
var unitName = regexp.MustCompile(`^[A-Za-z0-9:_.\\@-]{1,240}\.(service|socket|target|mount|automount|timer|path|swap|slice|scope|device)$`)

// Title is what messages call the check.
func (c HealthCheck) Title() string {
	switch {
	case c.Name != "":
		return c.Name
	case c.HTTP != "":
		if u, err := url.Parse(c.HTTP); err == nil {
			return u.Host + strings.TrimSuffix(u.Path, "/")
		}
	}
	return c.Unit
}

// CheckHealth reports every fault of a list of checks that stands at the path
// at of its document.
func CheckHealth(checks []HealthCheck, at string, fault func(path, format string, args ...any)) {
	if len(checks) > mostHealthChecks {
		fault(at, "%s: %d checks: want at most %d", at, len(checks), mostHealthChecks)
		return
	}
	titles := map[string]bool{}
	for i, check := range checks {
		at := fmt.Sprintf("%s[%d]", at, i)
		check.check(fault, at)
		if title := check.Title(); title != "" && titles[title] {
			fault(at, "%s: a check called %q is there already: give one of them another name", at, clip(title))
		}
		titles[check.Title()] = true
	}
}

func (c HealthCheck) check(fault func(path, format string, args ...any), at string) {
	if (c.Unit == "") == (c.HTTP == "") {
		fault(at, "%s: want exactly one of unit and http", at)
	}
	if c.Name != "" {
		if err := CheckName(at+".name", c.Name); err != nil {
			fault(at+".name", "%v", err)
		}
	}
	if c.Unit != "" && (!unitName.MatchString(c.Unit) || strings.HasSuffix(strings.TrimSuffix(c.Unit, path.Ext(c.Unit)), "@")) {
		fault(at+".unit", "%s.unit %q: want a systemd unit with its type, such as sshd.service", at, clip(c.Unit))
	}
	if c.HTTP != "" {
		c.checkURL(fault, at)
	}
	if c.HTTP == "" && (c.Status != nil || c.Socket != "") {
		fault(at, "%s: status and socket go with http only", at)
	}
	if c.Status != nil && len(c.Status) == 0 {
		fault(at+".status", "%s.status: want at least one", at)
	}
	for i, status := range c.Status {
		if status < 100 || status > 599 {
			fault(fmt.Sprintf("%s.status[%d]", at, i), "%s.status %d: want 100 to 599", at, status)
		}
	}
	const socketMost = 107 // sun_path of unix(7), with its NUL
	if c.Socket != "" && (!path.IsAbs(c.Socket) || path.Clean(c.Socket) != c.Socket || len(c.Socket) > socketMost) {
		fault(at+".socket", "%s.socket %q: want an absolute path of at most %d bytes", at, clip(c.Socket), socketMost)
	}
	for _, length := range []struct {
		name string
		is   Duration
	}{{"timeout", c.Timeout}, {"limit", c.Limit}} {
		if length.is != 0 && (length.is < Duration(time.Second) || length.is > mostHealthTime) {
			fault(at+"."+length.name, "%s.%s %s: want 1s to %s", at, length.name, length.is, mostHealthTime)
		}
	}
	if c.Limit != 0 && c.Timeout > c.Limit {
		fault(at+".timeout", "%s.timeout %s: want at most its limit of %s", at, c.Timeout, c.Limit)
	}
}

func (c HealthCheck) checkURL(fault func(path, format string, args ...any), at string) {
	location, err := url.Parse(c.HTTP)
	switch {
	case err != nil || location.Scheme != "http" && location.Scheme != "https" || location.Hostname() == "":
		fault(at+".http", "%s.http %q: want an http or https URL", at, clip(c.HTTP))
	case location.User != nil || location.Fragment != "":
		fault(at+".http", "%s.http: want a URL without user and fragment", at)
	case len(c.HTTP) > 2048:
		fault(at+".http", "%s.http: %d bytes: want at most 2048", at, len(c.HTTP))
	}
}
