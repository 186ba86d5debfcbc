package updater

import (
	"context"
	"fmt"
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

// checkTrial says why the release on trial must not lead.
func (s *session) checkTrial(ctx context.Context) error {
	if err := s.checkVar(); err != nil {
		return err
	}
	return s.runHealthChecks(ctx)
}

// checkVar is for a trial alone: a release is not itself without the machine's /var.
// Where it was not there before the trial either, another release may not help.
func (s *session) checkVar() error {
	if fault := s.startNote().VarFault; fault != "" && !s.record.WithoutVar {
		return fmt.Errorf("health check /var: it is in memory: %s", fault)
	}
	return nil
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
