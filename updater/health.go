package updater

import (
	"context"
	"os"
	"time"

	"github.com/proa-os/proa/updater/health"
)

// healthChecks are those of this host. They remember what they saw.
func (u *Updater) healthChecks() *health.Checks {
	systemctl := u.Host.Systemctl
	if !u.hasSystemd() {
		systemctl = ""
	}
	return health.New(health.Config{
		Folders:   u.Host.HealthDirs,
		Checks:    u.Settings.Health,
		Timeout:   time.Duration(u.Settings.HealthTimeout),
		Limit:     time.Duration(u.Settings.HealthLimit),
		Systemctl: systemctl,
		Progress:  u.Progress,
	})
}

// runHealthChecks waits until every health check has passed. The error names
// those that did not within their time, and why.
func (s *session) runHealthChecks(ctx context.Context) error {
	if err := s.checkExtensions(); err != nil {
		return err
	}
	if s.checks == nil {
		s.checks = s.healthChecks()
	}
	return s.checks.Run(ctx)
}

// hasSystemd reports whether systemd runs this host; see sd_booted(3).
func (u *Updater) hasSystemd() bool {
	_, err := os.Stat("/run/systemd/system")
	return u.Host.Systemctl != "" && err == nil
}
