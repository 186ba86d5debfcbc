package updater

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"time"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/manifests/strictyaml"
)

// Settings are the agent's configuration, agent.yaml.
type Settings struct {
	// Repository is the URL that releases come from. Required.
	Repository string `yaml:"repository"`
	// Channel is the moving name that this host follows; "stable" if not given.
	Channel string `yaml:"channel"`
	// Trials is how often a release that came back without a verdict is tried
	// before it is blocked, 1 to 10; 3 if not given.
	Trials int `yaml:"trials"`
	// HealthTimeout is the time of one attempt of one check; 30s if not given.
	HealthTimeout Duration `yaml:"healthTimeout"`
	// HealthLimit is the time of all attempts of all checks; 3m if not given.
	HealthLimit Duration `yaml:"healthLimit"`
}

// Duration is written as Go does: 30s, 2m, 1h30m.
type Duration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("duration %.40q: want a number and a unit, such as 30s or 2m", text)
	}
	*d = Duration(parsed)
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

func defaultSettings() Settings {
	return Settings{
		Channel:       "stable",
		Trials:        3,
		HealthTimeout: Duration(30 * time.Second),
		HealthLimit:   Duration(3 * time.Minute),
	}
}

// LoadSettings reads the files in order; each may be missing, and a later one
// wins key by key. Faults are a *strictyaml.Faults with lines and columns.
func LoadSettings(paths ...string) (Settings, error) {
	settings := defaultSettings()
	found := false
	for _, path := range paths {
		data, err := readAtMost(path, 256<<10)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return Settings{}, err
		}
		found = true
		document := strictyaml.Decode(path, data, &settings)
		settings.check(document)
		if err := document.Err(); err != nil {
			return Settings{}, err
		}
	}
	switch {
	case !found:
		return Settings{}, fmt.Errorf("no configuration: none of %v is there", paths)
	case settings.Repository == "":
		return Settings{}, fmt.Errorf("no repository is configured in any of %v", paths)
	}
	return settings, nil
}

func (s Settings) check(document *strictyaml.Document) {
	if u, err := url.Parse(s.Repository); s.Repository != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
		document.Fault("repository", "repository %.80q: want an http or https URL", s.Repository)
	}
	if err := manifests.CheckName("channel", s.Channel); err != nil {
		document.Fault("channel", "%v", err)
	}
	const trialsMost = 10
	if s.Trials < 1 || s.Trials > trialsMost {
		document.Fault("trials", "trials %d: want 1 to %d", s.Trials, trialsMost)
	}
	if s.HealthTimeout < Duration(time.Second) || s.HealthTimeout > Duration(time.Hour) {
		document.Fault("healthTimeout", "healthTimeout %s: want 1s to 1h", time.Duration(s.HealthTimeout))
	}
	if s.HealthLimit < s.HealthTimeout || s.HealthLimit > Duration(24*time.Hour) {
		document.Fault("healthLimit", "healthLimit %s: want healthTimeout (%s) to 24h", time.Duration(s.HealthLimit), time.Duration(s.HealthTimeout))
	}
}

// readAtMost reads a small file of the host's own.
func readAtMost(path string, most int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() || info.Size() > most {
		return nil, fmt.Errorf("%s: want a file of at most %d bytes", path, most)
	}
	return os.ReadFile(path)
}
