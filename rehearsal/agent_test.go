package rehearsal

import (
	"reflect"
	"testing"
	"time"

	"github.com/proa-os/proa/hostconfig"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/updater/config"
)

// released is what the image of a release says to its agent.
func released(yaml string) agentFiles {
	return agentFiles{agentOfRelease: []byte("repository: https://os.example.org\n" + yaml)}
}

// told are the settings of a machine with a release that was told what a rehearsal
// tells.
func told(t *testing.T, machine agentFiles, dropIn []byte) config.Effective {
	t.Helper()
	all := agentFiles{}
	for name, content := range machine {
		all[name] = content
	}
	all[ourDropIn] = dropIn
	s, err := all.settings()
	if err != nil {
		t.Fatalf("%v\n%s", err, dropIn)
	}
	return s
}

func TestAMachineFollowsTheRehearsalAndKeepsTheNewReleasesChecks(t *testing.T) {
	t.Parallel()
	old := released("health: [{unit: gone.service}]\npolicy: check\nwindows: [{start: 'Sat 02:00', length: 1h}]\nneighbours: ['http://10.1.0.2']\nhealthLimit: 45s\n")
	young := released("health: [{unit: sshd.service, limit: 20s}, {http: 'http://localhost/', status: [200, 204]}]\nrateLimit: 1MiB\n")
	before, err := old.settings()
	if err != nil {
		t.Fatal(err)
	}
	after, err := young.settings()
	if err != nil {
		t.Fatal(err)
	}
	text, err := dropIn("http://10.0.2.2:81", "beta", "http://10.0.2.2:81"+healthPath, before, after)
	if err != nil {
		t.Fatal(err)
	}
	for name, machine := range map[string]agentFiles{"old": old, "new": young} {
		s := told(t, machine, text).Settings
		if s.Repository != "http://10.0.2.2:81" || s.Channel != "beta" || s.Policy != config.Automatic || len(s.Windows) > 0 || s.Watch != 0 ||
			s.Jitter != 0 || s.Poll != config.Duration(time.Minute) || len(s.Neighbours) > 0 {
			t.Errorf("%s release: %+v", name, s)
		}
		ours := manifests.HealthCheck{Name: healthName, HTTP: "http://10.0.2.2:81" + healthPath,
			Timeout: config.Duration(30 * time.Second), Limit: config.Duration(45 * time.Second)}
		if want := append(append([]manifests.HealthCheck{}, after.Settings.Health...), ours); !reflect.DeepEqual(s.Health, want) {
			t.Errorf("%s release: health %+v, want %+v", name, s.Health, want)
		}
	}
	// The older agent may not know the key.
	if s := told(t, young, text).Settings; s.RateLimit != 1<<20 {
		t.Errorf("a limit that only the new release has was taken away")
	}
}

func TestWhatTheOwnerConfiguresCountsForTheAgent(t *testing.T) {
	t.Parallel()
	files := released("health: [{unit: a.service}]\nchannel: stable\n")
	files["usr/lib/proa/agent.d/50-x.yaml"] = []byte("trials: 2\n")
	files["etc/proa/agent.yaml"] = []byte("watch: 1m\n")
	p, err := hostconfig.Parse("owner", []byte(`{"ignition": {"version": "3.4.0"}, "storage": {
 "files": [{"path": "/etc/proa/agent.yaml", "append": [{"source": "data:,trials:%209%0A"}]},
           {"path": "/etc/proa/agent.d/60-y.yaml", "contents": {"source": "data:,health:%20%5B%5D%0A"}},
           {"path": "/etc/other.yaml", "contents": {"source": "data:,nonsense"}}],
 "links": [{"path": "/etc/proa/agent.d/50-x.yaml", "target": "/dev/null"}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	s, err := files.with(p).settings()
	if err != nil {
		t.Fatal(err)
	}
	if s.Settings.Trials != 9 || s.Settings.Watch != config.Duration(time.Minute) || len(s.Settings.Health) != 0 || s.Settings.Channel != "stable" {
		t.Errorf("got %+v", s.Settings)
	}
	if string(files["etc/proa/agent.yaml"]) != "watch: 1m\n" {
		t.Error("the release's own files were changed")
	}
}
