package updater_test

import (
	"errors"
	"testing"

	"github.com/proa-os/proa/updater"
	"github.com/proa-os/proa/updater/events"
)

func TestSilentRepositoryIsToldOf(t *testing.T) {
	f, said := newFleet(t), &told{}
	settings, err := updater.LoadSettings(f.host.Path("agent.yaml"))
	check(t, err)
	settings.Repository = "http://127.0.0.1:1" // where nobody listens
	u, err := updater.New(updater.Config{Host: f.host.Host(), Settings: settings, Events: said})
	check(t, err)
	_, err = u.Check(t.Context())
	var network *updater.NetworkError
	if !errors.As(err, &network) || len(said.events) != 1 || said.events[0].Kind != events.CheckFailed {
		t.Errorf("error %v, events %v", err, said.events)
	}
}
