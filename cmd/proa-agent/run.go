package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/updater"
	"github.com/proa-os/proa/updater/config"
	"github.com/proa-os/proa/updater/daemon"
	"github.com/proa-os/proa/updater/events"
	"github.com/proa-os/proa/updater/hooks"
	"github.com/proa-os/proa/updater/logind"
	"github.com/proa-os/proa/updater/notify"
)

func newRunCommand() *cobra.Command {
	var now, once bool
	var watchUnit string
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Look for updates, install them, and reboot inside maintenance windows (run by the service manager)",
		Long: `Ask the repository at the pace of the settings what the channel names, and go as
far with it as the policy says: check only notes it, staged installs it and leaves
arming to somebody, automatic arms its trial and reboots inside a maintenance
window, when nobody inhibits it.

SIGHUP reads the settings again; when there is a fault in them, those that there
are stay. SIGUSR1 asks the repository at once. SIGTERM ends it; what was
downloaded is kept.`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if now && once {
				return cli.Usage(cmd, errors.New("--now and --once: want one of them, --once asks at once anyway"))
			}
			// Of the program's own context SIGHUP is an end.
			ctx, stop := signal.NotifyContext(context.WithoutCancel(cmd.Context()), os.Interrupt, syscall.SIGTERM)
			defer stop()
			d, agent, err := newDaemon(cmd, now, watchUnit, stop)
			if err != nil {
				return err
			}
			defer heed(d)()
			if once {
				return explain(ctx, d.Once(ctx))
			}
			defer agent.show(ctx, agent)()
			return d.Run(ctx)
		},
	}
	cmd.Flags().BoolVar(&now, "now", false, "ask the repository at once, without waiting for as long as the jitter is")
	cmd.Flags().BoolVar(&once, "once", false, "ask once, reboot if it is time for that, and end: for a timer")
	cmd.Flags().StringVar(&watchUnit, "watch-unit", "", "service that runs 'proa-agent watch', to be started in place of watching in this process")
	return cmd
}

func newWatchCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "watch",
		Short: "Watch a release that was committed a while ago (run by the service manager)",
		Long: `Run what is left of the watch after a commit: the health checks are repeated, and
when one does not pass the machine goes back to the other slot, blocks the
release and resets. Ends at once when there is nothing to watch.`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			u, err := newUpdater(cmd)
			if err != nil {
				return err
			}
			v, err := u.Watch(cmd.Context())
			return finish(cmd, v, err)
		},
	}
}

// heed passes on the signals that ask the daemon for something.
func heed(d *daemon.Daemon) (stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGUSR1)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-done:
				return
			case s := <-signals:
				if s == syscall.SIGHUP {
					d.Reload()
				} else {
					d.PollNow()
				}
			}
		}
	}()
	return func() {
		signal.Stop(signals)
		close(done)
	}
}

// newDaemon is the daemon of this host. Stop ends it, on hosts that cannot
// reboot.
func newDaemon(cmd *cobra.Command, now bool, watchUnit string, stop func()) (*daemon.Daemon, busAgent, error) {
	host, err := hostOf(cmd)
	if err != nil {
		return nil, busAgent{}, err
	}
	manager := &notify.Manager{}
	agent := busAgent{faces: newFaces(cmd.ErrOrStderr()), turn: newTurn(), manager: manager, run: host.Run}
	sink, runner := agent.sink(events.Default()), patientHooks{hooksOf(host), manager}
	var rebooter daemon.Rebooter = logind.Manager{}
	if host.ResetFile != "" {
		rebooter = plainRebooter{host, stop}
	}
	d, err := daemon.New(daemon.Config{
		Load: func() (config.Settings, daemon.Agent, error) {
			u, err := newUpdaterOf(updater.Config{Host: host, Progress: manager.Progress(agent.signals), Events: sink, Hooks: runner, Sandboxed: true})
			if err != nil {
				return config.Settings{}, nil, err
			}
			agent.use(u)
			return u.Settings, hostAgent{u, watchUnit, agent.turn}, nil
		},
		Rebooter:  rebooter,
		Random:    rand.Int64N,
		Events:    sink,
		StateFile: filepath.Join(host.Run, "agent.json"),
		Manager:   manager,
		AtOnce:    now,
		Hooks:     runner,
	})
	if err != nil {
		return nil, busAgent{}, configError(err)
	}
	agent.daemon = d
	return d, agent, os.MkdirAll(host.Run, 0o755)
}

// hooksOf are the host's hooks: there are some where systemd and a bus run.
func hooksOf(host updater.Host) hooks.Runner {
	for _, path := range []string{"/run/systemd/system", "/run/dbus/system_bus_socket"} {
		if _, err := os.Stat(path); err != nil || host.ResetFile != "" {
			return hooks.None()
		}
	}
	return hooks.Systemd{}
}

// patientHooks are hooks that may take their time: it is no hang of the daemon.
type patientHooks struct {
	hooks.Runner
	manager *notify.Manager
}

func (p patientHooks) Run(ctx context.Context, hook hooks.Hook) error {
	defer p.manager.Quiet(hooks.Limit + time.Minute)()
	return p.Runner.Run(ctx, hook)
}

// newUpdaterOf reads the settings that c lacks.
func newUpdaterOf(c updater.Config) (*updater.Updater, error) {
	var err error
	if c.Settings, err = updater.LoadSettings(c.Host.Config...); err != nil {
		return nil, err
	}
	c.Version = cli.Version
	return updater.New(c)
}

// plainRebooter is for hosts of plain files.
type plainRebooter struct {
	host updater.Host
	stop func()
}

func (plainRebooter) Inhibitors(context.Context) ([]logind.Inhibitor, error) { return nil, nil }

func (r plainRebooter) Reboot(ctx context.Context, _ string, _ bool) error {
	u := &updater.Updater{Config: updater.Config{Host: r.host}}
	defer r.stop()
	return u.Reboot(ctx)
}
