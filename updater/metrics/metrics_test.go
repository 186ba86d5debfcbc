package metrics

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/updater"
	"github.com/proa-os/proa/updater/events"
	"github.com/proa-os/proa/updater/journal"
)

const hostile = "a\"b\\c\nproa_agent_degraded 1\n\xff"

func full() updater.Status {
	at := time.Unix(1_900_000_000, 500_000_000)
	s := updater.Status{
		Product: hostile, Channel: "stable", BootControl: "oneshot", Phase: journal.Armed, Degraded: "slot b does not open",
		Blocked: make([]journal.Blocked, 2), Problems: []string{"x"}, RetryAfter: &at, WatchUntil: &at, Pending: &updater.Pending{},
		History: []journal.Result{{Outcome: journal.WentBack, When: at}}, Last: &journal.Result{Outcome: journal.Committed, When: at.Add(time.Hour)},
		Agent: []byte(`{"activity":"watching","lastPoll":{"when":"2030-03-17T17:46:40Z"}}`),
	}
	s.Running.Version, s.Running.Slot, s.Running.Standing, s.Running.Since = manifests.Version("1.2.0"), 'b', "trial", &at
	return s
}

func config(t testing.TB, target string) Config {
	c := Config{Target: target, Version: "9.9", Counters: NewCounters(), Status: func(context.Context) (updater.Status, error) { return full(), nil }}
	for _, e := range []events.Event{
		{Kind: events.CheckFailed}, {Kind: events.CheckFailed},
		{Kind: events.Armed, Fields: map[string]string{events.Bytes: "1500", events.Reused: "70"}},
		{Kind: events.Staged, Fields: map[string]string{events.Bytes: "500", events.Reused: "-7"}},
		{Kind: events.WentBack}, {Kind: events.HookFailed}, {Kind: events.RebootDeferred}, {Kind: events.Started},
	} {
		c.Counters.Event(e)
	}
	return c
}

// parse reads with Prometheus' own parser.
func parse(t testing.TB, text []byte) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return families
}

func TestPrometheusReadsWhatIsMeant(t *testing.T) {
	families := parse(t, config(t, "").text(t.Context()))
	for name, want := range map[string]float64{
		"proa_agent_status_readable":                 1,
		"proa_agent_info":                            1,
		"proa_agent_on_trial":                        1,
		"proa_agent_trial_pending":                   1,
		"proa_agent_blocked_releases":                2,
		"proa_agent_degraded":                        1,
		"proa_agent_problems":                        1,
		"proa_agent_committed_timestamp_seconds":     1_900_000_000.5,
		"proa_agent_retry_after_timestamp_seconds":   1_900_000_000.5,
		"proa_agent_watch_until_timestamp_seconds":   1_900_000_000.5,
		"proa_agent_last_rollback_timestamp_seconds": 1_900_000_000.5,
		"proa_agent_last_check_timestamp_seconds":    1_900_000_000,
		"proa_agent_activity{watching}":              1,
		"proa_agent_phase{armed}":                    1,
		"proa_agent_phase{idle}":                     0,
		"proa_agent_check_failures_total":            2,
		"proa_agent_updates_total{armed}":            1,
		"proa_agent_updates_total{went_back}":        1,
		"proa_agent_updates_total{untrusted}":        0,
		"proa_agent_downloaded_bytes_total":          2000,
		"proa_agent_reused_bytes_total":              70,
		"proa_agent_hook_failures_total":             1,
		"proa_agent_reboot_deferrals_total":          1,
	} {
		name, labelled, _ := strings.Cut(strings.TrimSuffix(name, "}"), "{")
		found := false
		for _, m := range families[name].GetMetric() {
			if labelled == "" || m.GetLabel()[0].GetValue() == labelled {
				found = true
				if got := m.GetGauge().GetValue() + m.GetCounter().GetValue(); got != want {
					t.Errorf("%s{%s} is %v: want %v", name, labelled, got, want)
				}
			}
		}
		if !found {
			t.Errorf("%s{%s} is missing", name, labelled)
		}
	}
	labels := map[string]string{}
	for _, l := range families["proa_agent_info"].GetMetric()[0].GetLabel() {
		labels[l.GetName()] = l.GetValue()
	}
	if labels["product"] != strings.ToValidUTF8(hostile, "\uFFFD") || labels["version"] != "1.2.0" || labels["slot"] != "b" {
		t.Errorf("info is %q", labels)
	}
}

func TestTheReferenceListsEveryMetric(t *testing.T) {
	reference, err := os.ReadFile("../../docs/reference/interfaces.md")
	check(t, err)
	for name := range parse(t, config(t, "").text(t.Context())) {
		if !strings.Contains(string(reference), "`"+name+"`") && !strings.Contains(string(reference), "`"+name+"{") {
			t.Errorf("docs/reference/interfaces.md lacks %s", name)
		}
	}
}

func TestPrometheusFindsNoFaultWithTheNames(t *testing.T) {
	text := config(t, "").text(t.Context())
	problems, err := promlint.New(bytes.NewReader(text)).Lint()
	check(t, err)
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestAHostWhoseStatusCannotBeReadHasItsCounters(t *testing.T) {
	c := config(t, "")
	c.Status = func(context.Context) (updater.Status, error) { return updater.Status{}, errors.New("no disk") }
	families := parse(t, c.text(t.Context()))
	if v := families["proa_agent_status_readable"].GetMetric()[0].GetGauge().GetValue(); v != 0 {
		t.Errorf("readable is %v", v)
	}
	if families["proa_agent_check_failures_total"] == nil || families["proa_agent_info"] != nil {
		t.Errorf("families %v", families)
	}
}

func TestTheFileIsReplacedWhole(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	target := filepath.Join(folder, "proa.prom")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, config(t, target)) }()
	for range 2000 {
		if text, err := os.ReadFile(target); err == nil {
			if parse(t, text)["proa_agent_info"] == nil {
				t.Fatalf("the file has %q", text)
			}
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	cancel()
	check(t, <-ended)
	info, err := os.Stat(target)
	check(t, err)
	if info.Mode() != 0o644 {
		t.Errorf("mode %v: want -rw-r--r--", info.Mode())
	}
	if err := Serve(t.Context(), config(t, filepath.Join(folder, "none", "proa.prom"))); err == nil {
		t.Error("a missing folder is no error")
	}
}

func TestCurlReadsTheSocket(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "run", "metrics.sock")
	check(t, os.MkdirAll(filepath.Dir(socket), 0o755))
	stale, err := net.Listen("unix", socket) // of an agent that was killed
	check(t, err)
	stale.(*net.UnixListener).SetUnlinkOnClose(false)
	stale.Close()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, config(t, "unix:"+socket)) }()
	curl := func(words ...string) string {
		words = append([]string{"--silent", "--show-error", "--max-time", "20", "--unix-socket", socket}, words...)
		out, _ := exec.Command("curl", words...).CombinedOutput()
		return string(out)
	}
	for range 1000 {
		if info, err := os.Stat(socket); err == nil && info.Mode().Perm() == 0o666 {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	info, err := os.Stat(socket)
	check(t, err)
	if info.Mode().Perm() != 0o666 {
		t.Errorf("mode %v: want srw-rw-rw-", info.Mode())
	}
	if parse(t, []byte(curl("--fail", "http://proa/metrics")))["proa_agent_info"] == nil {
		t.Error("the socket does not tell of proa_agent_info")
	}
	for want, words := range map[string][]string{
		"HTTP/1.1 404": {"http://proa/"},
		"HTTP/1.1 405": {"-X", "POST", "http://proa/metrics"},
		"HTTP/1.1 200": {"-I", "http://proa/metrics"},
		"HTTP/1.1 400": {"-H", "X: " + strings.Repeat("x", requestMost), "http://proa/metrics"},
	} {
		if out := curl(append([]string{"-i"}, words...)...); !strings.HasPrefix(out, want) {
			t.Errorf("%.60q: %.200s: want %s", words, out, want)
		}
	}
	if err := Serve(ctx, config(t, "unix:"+socket)); err == nil || !strings.Contains(err.Error(), "is in use") {
		t.Errorf("a second agent: %v", err)
	}
	cancel()
	check(t, <-ended)
	if _, err := os.Stat(socket); err == nil {
		t.Error("the socket was left behind")
	}
}

func FuzzLabels(f *testing.F) {
	f.Add(hostile)
	f.Fuzz(func(t *testing.T, value string) {
		families := parse(t, format([]family{{"x", gauge, "X.", []sample{{[]label{{"l", value}}, 1}}}}))
		if got := families["x"].GetMetric()[0].GetLabel()[0].GetValue(); len(families) != 1 || got != strings.ToValidUTF8(value, "\uFFFD") {
			t.Errorf("%q is read as %q", value, got)
		}
	})
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
