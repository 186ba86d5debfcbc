package updater

import (
	"fmt"
	"os"

	"github.com/proa-os/proa/updater/config"
)

// Settings are the agent's configuration, agent.yaml.
type Settings = config.Settings

// Duration is written as Go does: 30s, 2m, 1h30m.
type Duration = config.Duration

// LoadSettings reads agent.yaml at each path and the drop-ins beside it; a later file
// wins key by key (config.Read).
func LoadSettings(paths ...string) (Settings, error) { return config.Load(paths...) }

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
