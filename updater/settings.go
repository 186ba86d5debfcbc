package updater

import "github.com/proa-os/proa/updater/config"

// Settings are the agent's configuration, agent.yaml.
type Settings = config.Settings

// Duration is written as Go does: 30s, 2m, 1h30m.
type Duration = config.Duration

// LoadSettings reads agent.yaml at each path and the drop-ins beside it; a later file
// wins key by key (config.Read).
func LoadSettings(paths ...string) (Settings, error) { return config.Load(paths...) }
