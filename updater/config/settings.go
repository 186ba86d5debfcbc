// Package config reads the agent's configuration: agent.yaml and its drop-ins,
// of the image and of the host. Read gives the settings in effect and tells which file
// each of them comes from; every fault of every file is reported at once.
package config

import (
	"fmt"
	"time"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/updater/demands"
)

// Duration is a length of time as agent.yaml writes it: 30s, 2m, 1h30m.
type Duration = manifests.Duration

// Settings are the agent's configuration, agent.yaml. All lists replace what
// an earlier file says.
type Settings struct {
	// Repository is the URL that releases come from: http, https, or oci for one
	// in a registry, oci://HOST/NAME:TAG. Required.
	Repository string `yaml:"repository" json:"repository"`
	// Channel is the moving name that this host follows; "stable" if not given.
	Channel string `yaml:"channel" json:"channel"`

	// Neighbours are URLs, http or https, of copies of the repository that are
	// asked before it for what a release is made of. They need no trust. At most
	// NeighboursMost.
	Neighbours []string `yaml:"neighbours" json:"neighbours"`
	// Folders are absolute paths of copies of the repository, as folders or
	// exported files, that are looked into before the network is. A missing one is
	// passed over. At most FoldersMost.
	Folders []string `yaml:"folders" json:"folders"`
	// RateLimit is the most bytes per second from the network; no limit if not given.
	RateLimit Rate `yaml:"rateLimit" json:"rateLimit"`
	// Proxy is the URL of the repository's proxy, as fetch.Config.Proxy; what the
	// environment says if not given. Neighbours are asked without one.
	Proxy string `yaml:"proxy" json:"proxy"`
	// Connections is how many parts of a file are fetched at once, 1 to 16; 4 if
	// not given.
	Connections int `yaml:"connections" json:"connections"`

	// Extensions are the names of those of a release's extensions that this host
	// wants; all of them if not given.
	Extensions []string `yaml:"extensions" json:"extensions"`

	// Demands are what must be attested of a release before this host takes it;
	// nothing if not given. What a later file says replaces all of it.
	Demands demands.Demands `yaml:"demands" json:"demands"`

	// Policy is how far the agent goes by itself; Automatic if not given.
	Policy Policy `yaml:"policy" json:"policy"`
	// Poll is the time from one look at the repository to the next, 1m to 720h;
	// 1h if not given.
	Poll Duration `yaml:"poll" json:"poll"`
	// Jitter is the most that is added to Poll by chance, 0 to Poll; 10m, but no
	// more than Poll, if not given.
	Jitter Duration `yaml:"jitter" json:"jitter"`
	// Windows are when an update may be armed and the machine rebooted; none
	// means always.
	Windows []Window `yaml:"windows" json:"windows"`
	// RebootDeferral is how long inhibitors may put off a reboot, 0 to 720h; 24h
	// if not given.
	RebootDeferral Duration `yaml:"rebootDeferral" json:"rebootDeferral"`

	// Trials is how often a release that came back without a verdict is tried
	// before it is blocked, 1 to 10; 3 if not given.
	Trials int `yaml:"trials" json:"trials"`
	// RetryPause is the time before the first repetition of such a trial, 1s to
	// 24h; it doubles each time, up to 24h. 10m if not given.
	RetryPause Duration `yaml:"retryPause" json:"retryPause"`

	// Health is what must be true of a release beside the executables in health.d.
	Health []manifests.HealthCheck `yaml:"health" json:"health"`
	// HealthTimeout is the time of one attempt of one check, 1s to 1h; 30s if
	// not given.
	HealthTimeout Duration `yaml:"healthTimeout" json:"healthTimeout"`
	// HealthLimit is the time of all attempts of all checks, HealthTimeout to
	// 24h; 3m if not given.
	HealthLimit Duration `yaml:"healthLimit" json:"healthLimit"`
	// Watch is how long after a commit a failing check still takes the machine
	// back, 0 to 24h; 5m if not given.
	Watch Duration `yaml:"watch" json:"watch"`

	// Metrics is where figures for Prometheus are offered: "unix:" and the
	// absolute path of a socket, or the absolute path of a textfile of
	// node_exporter, *.prom. Nowhere if not given.
	Metrics string `yaml:"metrics" json:"metrics"`
	// BootControl is the backend that flips the slots; BootControlAuto if not given.
	BootControl BootControl `yaml:"bootControl" json:"bootControl"`
}

// Window is a stretch of time that comes again.
type Window struct {
	// Start is a calendar expression of systemd.time(7). Required.
	Start string `yaml:"start" json:"start"`
	// Length is 1m to 168h. Required.
	Length Duration `yaml:"length" json:"length"`
	// Timezone is a name of the zone database, such as Europe/Berlin; the host's
	// own if not given.
	Timezone string `yaml:"timezone" json:"timezone,omitempty"`
}

// Policy is how far the agent goes by itself.
type Policy string

// The policies.
const (
	Automatic Policy = "automatic" // install; arm and reboot inside a window
	Staged    Policy = "staged"    // install, and leave arming to somebody
	CheckOnly Policy = "check"     // look, and install nothing
)

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *Policy) UnmarshalText(text []byte) error {
	switch v := Policy(text); v {
	case Automatic, Staged, CheckOnly:
		*p = v
		return nil
	}
	return fmt.Errorf("%.40q: want automatic, staged or check", text)
}

// BootControl names the backend that flips the slots.
type BootControl string

// The backends. Auto means what the machine was installed with.
const (
	BootControlAuto    BootControl = "auto"
	BootControlOneShot BootControl = "oneshot"
	BootControlCounted BootControl = "counted"
	BootControlGRUB    BootControl = "grub"
	BootControlUBoot   BootControl = "uboot"
)

// UnmarshalText implements encoding.TextUnmarshaler.
func (b *BootControl) UnmarshalText(text []byte) error {
	switch v := BootControl(text); v {
	case BootControlAuto, BootControlOneShot, BootControlCounted, BootControlGRUB, BootControlUBoot:
		*b = v
		return nil
	}
	return fmt.Errorf("%.40q: want auto, oneshot, counted, grub or uboot", text)
}

// Defaults are the settings of a host that says nothing; the repository is
// missing from them.
func Defaults() Settings {
	return Settings{
		Channel:        "stable",
		Connections:    4,
		Policy:         Automatic,
		Poll:           Duration(time.Hour),
		Jitter:         Duration(10 * time.Minute),
		RebootDeferral: Duration(24 * time.Hour),
		Trials:         3,
		RetryPause:     Duration(10 * time.Minute),
		HealthTimeout:  Duration(30 * time.Second),
		HealthLimit:    Duration(3 * time.Minute),
		Watch:          Duration(5 * time.Minute),
		BootControl:    BootControlAuto,
	}
}
