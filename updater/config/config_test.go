package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/signing"
	"github.com/proa-os/proa/updater/demands"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// host is a folder with files by name, and the paths of agent.yaml in it.
func host(t *testing.T, files map[string]string) (dir string, paths []string) {
	t.Helper()
	dir = t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		check(t, os.MkdirAll(filepath.Dir(path), 0o755))
		if target, link := strings.CutPrefix(content, "-> "); link {
			check(t, os.Symlink(target, path))
		} else {
			check(t, os.WriteFile(path, []byte(content), 0o644))
		}
	}
	return dir, []string{filepath.Join(dir, "usr/agent.yaml"), filepath.Join(dir, "etc/agent.yaml")}
}

func TestEverySettingIsRead(t *testing.T) {
	_, paths := host(t, map[string]string{"usr/agent.yaml": `
repository: https://os.example.org/x
channel: beta
neighbours: ["http://10.0.0.2:8000/x", https://mirror.example.org]
folders: [/var/lib/proa/shelf, /run/media/stick/x.proa]
rateLimit: 10MiB
proxy: http://user:word@proxy.example.org:3128
connections: 8
extensions: [debug, site]
demands:
  provenance:
    - {id: "https://ci.example.org", key: ` + oneKey + `}
  rebuilds: {keys: [` + otherKey + `], threshold: 1}
  rehearsal: {keys: [` + oneKey + `], fromRunning: true}
  vulnerabilities: {keys: [` + otherKey + `], deny: [CVE-2024-3094], maxAge: 240h}
policy: staged
poll: 2h
jitter: 5m
windows:
  - {start: "Sat,Sun 02:00", length: 2h, timezone: Europe/Berlin}
  - {start: "Mon 03:00 UTC", length: 30m}
rebootDeferral: 12h
trials: 2
retryPause: 1m
health:
  - unit: sshd.service
  - {name: gateway.http, http: "http://localhost:8080/ready", status: 200, timeout: 5s, limit: 2m}
  - {http: "http://api/", socket: /run/api.sock, status: [200, 204]}
healthTimeout: 10s
healthLimit: 4m
watch: 10m
metrics: unix:/run/proa/metrics.sock
bootControl: grub
`})
	got, err := Load(paths...)
	check(t, err)
	minute := Duration(time.Minute)
	want := Settings{
		Repository: "https://os.example.org/x", Channel: "beta",
		Neighbours: []string{"http://10.0.0.2:8000/x", "https://mirror.example.org"}, Folders: []string{"/var/lib/proa/shelf", "/run/media/stick/x.proa"},
		RateLimit: 10 << 20, Proxy: "http://user:word@proxy.example.org:3128", Connections: 8,
		Extensions: []string{"debug", "site"},
		Demands: demands.Demands{
			Provenance:      []demands.Builder{{ID: "https://ci.example.org", Key: key(t, oneKey)}},
			Rebuilds:        &demands.Rebuilds{Keys: []signing.PublicKey{key(t, otherKey)}, Threshold: 1},
			Rehearsal:       &demands.Rehearsal{Keys: []signing.PublicKey{key(t, oneKey)}, FromRunning: true},
			Vulnerabilities: &demands.Vulnerabilities{Keys: []signing.PublicKey{key(t, otherKey)}, Deny: []string{"CVE-2024-3094"}, MaxAge: 240 * 60 * minute},
		},
		Policy: Staged, Poll: 120 * minute, Jitter: 5 * minute,
		Windows:        []Window{{"Sat,Sun 02:00", 120 * minute, "Europe/Berlin"}, {"Mon 03:00 UTC", 30 * minute, ""}},
		RebootDeferral: 720 * minute, Trials: 2, RetryPause: minute,
		Health: []manifests.HealthCheck{
			{Unit: "sshd.service"},
			{Name: "gateway.http", HTTP: "http://localhost:8080/ready", Status: manifests.Statuses{200}, Timeout: minute / 12, Limit: 2 * minute},
			{HTTP: "http://api/", Socket: "/run/api.sock", Status: manifests.Statuses{200, 204}},
		},
		HealthTimeout: minute / 6, HealthLimit: 4 * minute, Watch: 10 * minute,
		Metrics: "unix:/run/proa/metrics.sock", BootControl: BootControlGRUB,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got:\n%+v\nwant:\n%+v", got, want)
	}
	// No setting was forgotten above.
	defaults := reflect.ValueOf(Defaults())
	for i, key := range Keys() {
		if reflect.DeepEqual(reflect.ValueOf(got).Field(i).Interface(), defaults.Field(i).Interface()) {
			t.Errorf("%s has its default", key)
		}
	}
}

// Public keys, as a line.
const (
	oneKey   = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE="
	otherKey = "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
)

func key(t testing.TB, text string) signing.PublicKey {
	t.Helper()
	var k signing.PublicKey
	check(t, k.UnmarshalText([]byte(text)))
	return k
}

func TestDemandsOfALaterFileReplaceAllOfAnEarlierOne(t *testing.T) {
	_, paths := host(t, map[string]string{
		"usr/agent.yaml":      "repository: http://x\ndemands: {rehearsal: {keys: [" + oneKey + "]}}\n",
		"etc/agent.yaml":      "demands: {rebuilds: {keys: [" + oneKey + ", " + otherKey + "]}}\n",
		"etc/agent.d/50.yaml": "poll: 2h\n",
	})
	got, err := Load(paths...)
	check(t, err)
	if d := got.Demands; d.Rehearsal != nil || d.Rebuilds == nil || len(d.Rebuilds.Keys) != 2 {
		t.Errorf("demands %+v", d)
	}
	_, paths = host(t, map[string]string{
		"usr/agent.yaml": "repository: http://x\ndemands: {rehearsal: {keys: [" + oneKey + "]}}\n",
		"etc/agent.yaml": "demands: {}\n",
	})
	if got, err = Load(paths...); err != nil || got.Demands.Any() {
		t.Errorf("demands %+v, %v: they were taken away", got.Demands, err)
	}
}

func TestAHostThatSaysNothingHasDefaultsThatAreValid(t *testing.T) {
	_, paths := host(t, map[string]string{"usr/agent.yaml": "repository: http://x\n"})
	got, err := Load(paths...)
	check(t, err)
	want := Defaults()
	want.Repository = "http://x"
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
}

func TestWhatIsReadLaterWinsKeyByKey(t *testing.T) {
	dir, paths := host(t, map[string]string{
		"usr/agent.yaml":            "repository: http://image\nchannel: a\ntrials: 1\nhealth: [{unit: a.service}, {unit: b.service}]\nwatch: 1m\n",
		"usr/agent.d/50-b.yaml":     "channel: b\nwatch: 2m\n",
		"usr/agent.d/40-a.yaml":     "channel: a2\npoll: 2h\n",
		"usr/agent.d/60-c.yaml":     "policy: check\n",
		"usr/agent.d/70-d.yaml":     "policy: staged\n",
		"usr/agent.d/.hidden.yaml":  "trials: 9\n",
		"usr/agent.d/note.txt":      "trials: 9\n",
		"etc/agent.yaml":            "channel: c\n",
		"etc/agent.d/50-b.yaml":     "watch: 4m\n",
		"etc/agent.d/60-c.yaml":     "-> /dev/null",
		"etc/agent.d/70-d.yaml":     "# nothing any more\n",
		"etc/agent.d/80-later.yaml": "health: []\n",
	})
	got, err := Read(paths...)
	check(t, err)
	s := got.Settings
	if s.Repository != "http://image" || s.Channel != "c" || s.Trials != 1 || s.Poll != Duration(2*time.Hour) || s.Watch != Duration(4*time.Minute) ||
		s.Policy != Automatic || s.Health == nil || len(s.Health) != 0 {
		t.Errorf("got %+v", s)
	}
	order := ""
	for _, file := range got.Files {
		order += strings.TrimPrefix(file, dir+"/") + " "
	}
	want := "usr/agent.yaml usr/agent.d/40-a.yaml etc/agent.yaml etc/agent.d/50-b.yaml etc/agent.d/60-c.yaml etc/agent.d/70-d.yaml etc/agent.d/80-later.yaml "
	if order != want {
		t.Errorf("read:\n%s\nwant:\n%s", order, want)
	}
	from := map[string]string{
		"repository": "usr/agent.yaml", "trials": "usr/agent.yaml", "channel": "etc/agent.yaml", "poll": "usr/agent.d/40-a.yaml",
		"watch": "etc/agent.d/50-b.yaml", "health": "etc/agent.d/80-later.yaml",
	}
	for key := range from {
		from[key] = filepath.Join(dir, from[key])
	}
	if !reflect.DeepEqual(got.From, from) {
		t.Errorf("they come from %v", got.From)
	}
}

func TestEveryFaultHasItsFileAndPlace(t *testing.T) {
	for _, test := range []struct{ name, yaml, want string }{
		{"unknown key", "pol: 1h", "unknown key \"pol\": want one of bootControl, channel, connections, demands, extensions, folders, health"},
		{"repeated key", "poll: 1h\npoll: 2h", `2:1: key "poll" is repeated: it is also on line 1`},
		{"repository", "repository: ftp://x", `1:13: repository "ftp://x": want an http or https URL`},
		{"no host", "repository: 'http:///x'", "want an http or https URL"},
		{"empty repository", "repository: ''", "want an http or https URL"},
		{"registry without a name", "repository: 'oci://host'", "1:13: repository \"oci://host\": want oci://host/name:tag"},
		{"neighbour", "neighbours: ['http://a', 'file:///a']", `1:26: neighbours[1] "file:///a": want an http or https URL`},
		{"neighbour with a password", "neighbours: ['http://u:p@h/']", "1:14: neighbours[0]: want a URL without user, ? and #"},
		{"neighbour with a query", "neighbours: ['http://h/?a']", "1:14: neighbours[0]: want a URL without user, ? and #"},
		{"neighbour twice", "neighbours: ['http://h', 'http://h']", `1:26: neighbours[1] "http://h": it is there already`},
		{"many neighbours", "neighbours: [" + strings.Repeat("'http://h', ", 17) + "]", "1:13: neighbours: 17 of them: want at most 16"},
		{"neighbours no list", "neighbours: http://h", "1:13: neighbours: want a list"},
		{"folder", "folders: [usb]", `1:11: folders[0] "usb": want an absolute path`},
		{"folder upwards", "folders: [/a/../b]", `1:11: folders[0] "/a/../b": want an absolute path`},
		{"many folders", "folders: [" + strings.Repeat("/a, ", 17) + "]", "1:10: folders: 17 of them: want at most 16"},
		{"rate too low", "rateLimit: 100", "1:12: rateLimit 100: want 1KiB to 1TiB, or 0 for no limit"},
		{"rate too high", "rateLimit: 2TiB", "1:12: rateLimit 2TiB: want 1KiB to 1TiB"},
		{"rate without a number", "rateLimit: fast", `1:12: rateLimit: "fast": want bytes per second as a whole number with a unit, such as 10MiB, or 0`},
		{"proxy", "proxy: ftp://x", "1:8: proxy: want a URL such as http://proxy.example.org:3128 (http, https or socks5), or none"},
		{"proxy without a scheme", "proxy: 'proxy:3128'", "1:8: proxy: want a URL such as"},
		{"proxy with a path", "proxy: 'http://proxy/x'", "1:8: proxy: want a URL such as"},
		{"extension", "extensions: [A]", `1:14: extensions[0]: extension "A": want 1 to 64`},
		{"extension twice", "extensions: [a, a]", `1:17: extensions[1] "a": it is there already`},
		{"no connection", "connections: 0", "1:14: connections 0: want 1 to 16"},
		{"many connections", "connections: 17", "1:14: connections 17: want 1 to 16"},
		{"demands of an unknown kind", "demands: {luck: 1}", `1:11: unknown key "luck" in demands: want one of provenance, rebuilds, rehearsal, vulnerabilities`},
		{"key", "demands: {rehearsal: {keys: [x]}}", `1:30: demands.rehearsal.keys[0]: key "x": want the line in a .pub file`},
		{"key twice", "demands: {rehearsal: {keys: [" + oneKey + ", " + oneKey + "]}}", "demands.rehearsal.keys[1]: it is there already"},
		{"no key", "demands: {rebuilds: {threshold: 1}}", "demands.rebuilds.keys: 0 of them: want 1 to 32"},
		{"threshold", "demands: {rebuilds: {keys: [" + oneKey + "], threshold: 2}}", "demands.rebuilds.threshold 2: want 1 to 1, the number of keys"},
		{"vulnerability", "demands: {vulnerabilities: {keys: [" + oneKey + "], deny: [CVE-2024-3094, cve]}}", `demands.vulnerabilities.deny[1] "cve": want an id such as CVE-2024-3094`},
		{"age of a scan", "demands: {vulnerabilities: {keys: [" + oneKey + "], maxAge: 1m}}", "demands.vulnerabilities.maxAge 1m: want 1h to 8760h"},
		{"builder without a name", "demands: {provenance: [{key: " + oneKey + "}]}", "1:24: demands.provenance[0].id: want the URI of a builder"},
		{"builder with a name that is none", "demands: {provenance: [{id: \"x\\e[2J\", key: " + oneKey + "}]}", "1:29: demands.provenance[0].id: want the URI of a builder"},
		{"no builder", "demands: {provenance: []}", "1:23: demands.provenance: 0 of them: want 1 to 32"},
		{"builder without a key", "demands: {provenance: [{id: x}]}", "1:24: demands.provenance[0].key is missing: want the line"},
		{"builder that rebuilds", "demands: {provenance: [{id: x, key: " + oneKey + "}], rebuilds: {keys: [" + oneKey + "]}}",
			"demands.rebuilds.keys[0] is the key of a builder, who cannot vouch for itself"},
		{"channel", "channel: A/B", `1:10: channel "A/B": want`},
		{"policy", "policy: never", `1:9: policy: "never": want automatic, staged or check`},
		{"poll too short", "poll: 59s", "1:7: poll 59s: want 1m to 720h"},
		{"poll too long", "poll: 721h", "1:7: poll 721h: want 1m to 720h"},
		{"poll without a unit", "poll: 60", `1:7: poll: duration "60": want a number and a unit, such as 30s or 2m`},
		{"jitter negative", "jitter: -1s", "1:9: jitter -1s: want 0s to 720h"},
		{"jitter above poll", "jitter: 2h\npoll: 1h", "1:9: jitter 2h: want 0 to poll (1h)"},
		{"deferral", "rebootDeferral: 721h", "1:17: rebootDeferral 721h: want 0s to 720h"},
		{"retry pause", "retryPause: 0s", "1:13: retryPause 0s: want 1s to 24h"},
		{"trials", "trials: 11", "1:9: trials 11: want 1 to 10"},
		{"watch", "watch: 25h", "1:8: watch 25h: want 0s to 24h"},
		{"time of a check", "healthTimeout: 2h", "1:16: healthTimeout 2h: want 1s to 1h"},
		{"time of all checks", "healthLimit: 25h", "1:14: healthLimit 25h: want 1s to 24h"},
		{"less for all than for one", "healthLimit: 10s", "1:14: healthLimit 10s: want healthTimeout (30s) to 24h"},
		{"more for one than for all", "watch: 1m\nhealthTimeout: 5m", "2:16: healthLimit 3m: want healthTimeout (5m) to 24h"},
		{"metrics relative", "metrics: m.prom", `1:10: metrics "m.prom": want unix: and an absolute path`},
		{"metrics of another name", "metrics: /var/lib/m.txt", "or an absolute path of a file *.prom"},
		{"metrics upwards", "metrics: unix:/run/../etc/x", "want unix: and an absolute path"},
		{"metrics over TCP", "metrics: tcp:127.0.0.1:9100", "want unix: and an absolute path"},
		{"boot control", "bootControl: lilo", `1:14: bootControl: "lilo": want auto, oneshot, counted, grub or uboot`},
		{"window without a start", "windows: [{length: 1h}]", "1:11: windows[0].start is missing"},
		{"window start", "windows: [{start: 'Foo 02:00', length: 1h}]", "1:19: windows[0].start: calendar expression"},
		{"window length", "windows: [{start: 'Sat 02:00', length: 0s}]", "1:40: windows[0].length 0s: want 1m to 168h"},
		{"window zone", "windows: [{start: 'Sat 02:00', length: 1h, timezone: Mars/Base}]", "1:54: windows[0].timezone: time zone"},
		{"windows no list", "windows: always", "1:10: windows: want a list"},
		{"nothing to check", "health: [{}]", "1:10: health[0]: want exactly one of unit and http"},
		{"two to check", "health: [{unit: a.service, http: 'http://x'}]", "health[0]: want exactly one of unit and http"},
		{"unit without a type", "health: [{unit: sshd}]", `1:17: health[0].unit "sshd": want a systemd unit with its type, such as sshd.service`},
		{"unit with an option", "health: [{unit: '--now x.service'}]", "want a systemd unit"},
		{"unit of a template", "health: [{unit: getty@.service}]", "want a systemd unit"},
		{"URL", "health: [{http: 'file:///etc/passwd'}]", `1:17: health[0].http "file:///etc/passwd": want an http or https URL`},
		{"URL with a password", "health: [{http: 'http://u:p@h/'}]", "health[0].http: want a URL without user and fragment"},
		{"status", "health: [{http: 'http://h/', status: 99}]", "1:38: health[0].status 99: want 100 to 599"},
		{"status of none", "health: [{http: 'http://h/', status: []}]", "health[0].status: want at least one"},
		{"status of a unit", "health: [{unit: a.service, status: 200}]", "health[0]: status and socket go with http only"},
		{"socket", "health: [{http: 'http://h/', socket: x}]", `1:38: health[0].socket "x": want an absolute path`},
		{"time of one", "health: [{unit: a.service, timeout: 1ms}]", "health[0].timeout 1ms: want 1s to 24h"},
		{"time of one and its limit", "health: [{unit: a.service, timeout: 2m, limit: 1m}]", "health[0].timeout 2m: want at most its limit of 1m"},
		{"limit above that of all", "health: [{unit: a.service, limit: 4m}]", "1:35: health[0].limit 4m: want at most healthLimit (3m)"},
		{"limit below", "healthLimit: 1m", "1:14: health[0].limit 2m: want at most healthLimit (1m)"},
		{"twice", "health: [{unit: a.service}, {unit: a.service}]", `1:29: health[1]: a check called "a.service" is there already`},
		{"name", "health: [{unit: a.service, name: 'a b'}]", `health[0].name "a b": want`},
		{"empty document", "---", "1:1: the document is empty"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir, paths := host(t, map[string]string{
				"usr/agent.yaml": "repository: http://x\nhealth: [{unit: z.service, limit: 2m}]\n", "etc/agent.yaml": test.yaml + "\n",
			})
			_, err := Load(paths...)
			if test.name == "limit below" { // the fault is where the limit of the one is
				test.want = strings.Replace(test.want, "1:14", "2:35", 1)
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error:\n%v\nwant one with:\n%s", err, test.want)
			}
			if err != nil && !strings.HasPrefix(err.Error(), dir) {
				t.Errorf("no file in %v", err)
			}
		})
	}
}

func TestFaultsOfAllFilesAreReportedAtOnce(t *testing.T) {
	dir, paths := host(t, map[string]string{
		"usr/agent.yaml":        "repository: x\ntrials: 0\n",
		"etc/agent.yaml":        "watch: soon\n",
		"etc/agent.d/50-x.yaml": "{",
	})
	_, err := Load(paths...)
	var got []string
	for _, faults := range FaultsOf(err) {
		for _, fault := range faults.Items {
			got = append(got, fmt.Sprintf("%s:%d:%d", strings.TrimPrefix(faults.Name, dir+"/"), fault.Line, fault.Column))
		}
	}
	if want := "[usr/agent.yaml:1:13 usr/agent.yaml:2:9 etc/agent.yaml:1:8 etc/agent.d/50-x.yaml:1:1]"; fmt.Sprint(got) != want {
		t.Errorf("got %v in:\n%v", got, err)
	}
}

func TestAFileIsNotBlamedForTheValuesOfAnother(t *testing.T) {
	dir, paths := host(t, map[string]string{"usr/agent.yaml": "trials: 0\n", "etc/agent.yaml": "watch: 1m\n"})
	_, err := Load(paths...)
	if want := dir + "/usr/agent.yaml:1:9: trials 0: want 1 to 10"; err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}

func TestALimitIsTakenAway(t *testing.T) {
	for _, none := range []string{"''", "0"} {
		_, paths := host(t, map[string]string{
			"usr/agent.yaml": "repository: oci://host:5000/os:stable\nrateLimit: 1MiB\nproxy: http://p\nconnections: 1\n",
			"etc/agent.yaml": "rateLimit: " + none + "\nproxy: none\n",
		})
		got, err := Load(paths...)
		check(t, err)
		if got.RateLimit != 0 || got.Proxy != "none" || got.Connections != 1 {
			t.Errorf("got %+v", got)
		}
	}
}

func TestAShortPollBringsAShortJitter(t *testing.T) {
	_, paths := host(t, map[string]string{"usr/agent.yaml": "repository: http://x\npoll: 1m\n"})
	got, err := Load(paths...)
	check(t, err)
	if got.Jitter != Duration(time.Minute) {
		t.Errorf("jitter is %s", got.Jitter)
	}
}

func TestFilesThatAreNoneAreRefused(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"no configuration":                  {},
		"no repository is configured":       {"etc/agent.yaml": "trials: 1\n"},
		"want at most 262144":               {"etc/agent.yaml": "# " + strings.Repeat("x", 300<<10)},
		"want a regular file":               {"etc/agent.yaml/x": ""},
		"no such file or directory":         {"etc/agent.yaml": "-> nowhere"},
		"not a directory":                   {"etc/agent.d": ""},
		"a control character":               {"etc/agent.yaml": "repository: \x01\n"},
		"etc/agent.d/50.yaml: want a regul": {"etc/agent.yaml": "repository: http://x\n", "etc/agent.d/50.yaml/x": ""},
	} {
		_, paths := host(t, files)
		if _, err := Load(paths...); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func FuzzSettings(f *testing.F) {
	f.Add([]byte("repository: http://x\npoll: 1h\nwindows: [{start: 'Sat 02:00', length: 2h}]\n"), []byte("health: [{unit: a.service}, {http: 'http://x', status: 200}]\nmetrics: /x.prom\n"))
	f.Add([]byte("repository: oci://x/y\nneighbours: ['http://h']\nfolders: [/a]\n"), []byte("rateLimit: 1MiB\nproxy: none\nconnections: 2\n"))
	f.Add([]byte("repository: http://x\n"), []byte("healthTimeout: 1h\njitter: 3h\nbootControl: grub\npolicy: check\n"))
	f.Add([]byte("repository: http://x\ndemands: {provenance: [{id: x, key: "+oneKey+"}], rebuilds: {keys: ["+otherKey+"], threshold: 1}}\n"), []byte("demands: {rehearsal: {keys: ["+oneKey+"], fromRunning: true}}\n"))
	f.Fuzz(func(t *testing.T, image, host []byte) {
		dir := t.TempDir()
		paths := []string{dir + "/a.yaml", dir + "/b.yaml"}
		check(t, os.WriteFile(paths[0], image, 0o600))
		check(t, os.WriteFile(paths[1], host, 0o600))
		got, err := Load(paths...)
		if err != nil {
			return
		}
		if got.Trials < 1 || got.Poll < Duration(time.Minute) || got.Jitter > got.Poll || got.HealthLimit < got.HealthTimeout || got.Repository == "" ||
			got.Policy == "" || got.BootControl == "" || got.Connections < 1 || got.Connections > 16 || got.RateLimit < 0 ||
			got.Demands.Rebuilds != nil && (len(got.Demands.Rebuilds.Keys) == 0 || got.Demands.Rebuilds.Threshold > len(got.Demands.Rebuilds.Keys)) ||
			len(got.Neighbours) > NeighboursMost || len(got.Folders) > FoldersMost {
			t.Errorf("accepted %+v", got)
		}
		for _, check := range got.Health {
			if check.Title() == "" || (check.Unit == "") == (check.HTTP == "") || check.Limit > got.HealthLimit {
				t.Errorf("accepted %+v", check)
			}
		}
	})
}
