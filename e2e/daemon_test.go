package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/proa-os/proa/machine"
	"github.com/proa-os/proa/machine/workshop"
	"github.com/proa-os/proa/partitions"
)

// settledUnit is a service that a boot needs to be complete.
const settledUnit = `[Unit]
Description=Needed for a complete boot
Before=boot-complete.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/test -e /usr/share/hello/settled
[Install]
RequiredBy=boot-complete.target
`

// TestADebianKeepsItselfUpToDate publishes a good release and a bad one for a
// machine that nobody touches.
func TestADebianKeepsItselfUpToDate(t *testing.T) {
	t.Parallel()
	const name = "daemon"
	image := newReferenceImage(t, "debian")
	image.write("overlay/etc/proa/agent.yaml", fmt.Sprintf(`repository: %s
channel: %s
poll: 1m
jitter: 0s
watch: 5s
healthLimit: 1m
health: [{unit: hello.service}]
metrics: unix:/run/proa/metrics.sock
`, shared.front.url(name), name))
	image.write("overlay/usr/lib/systemd/system/settled.service", settledUnit)
	requires := image.path("overlay/usr/lib/systemd/system/boot-complete.target.requires")
	if err := os.MkdirAll(requires, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../settled.service", filepath.Join(requires, "settled.service")); err != nil {
		t.Fatal(err)
	}
	if err := workshop.AddGuest(t.Context(), image.path("release")); err != nil {
		t.Fatal(err)
	}
	release := func(version string) string {
		t.Helper()
		image.write("release/usr/share/hello/message", "hello from "+version+"\n")
		return image.buildAs(version)
	}
	publish := func(out string) {
		t.Helper()
		if err := shared.proaRun(t.Context(), "repo", "publish", out, "--repo", "repo", "--keys", "keys", "--channel", name); err != nil {
			t.Fatal(err)
		}
	}
	image.write("release/usr/share/hello/settled", "")
	first, good := release(base), release("1.1.0")
	if err := os.Remove(image.path("release/usr/share/hello/settled")); err != nil {
		t.Fatal(err)
	}
	bad := release("1.2.0")
	publish(first)

	h := newHostWith(t, name, filepath.Join(first, "disk.raw"), "", machine.MemoryDebian)
	h.powerOn()
	h.awaitDaemon()
	h.wantRunning(base, partitions.SlotA)
	known := h.wantIdentity()
	h.checkDaemon()
	h.checkBus()
	h.checkReload()

	publish(good)
	h.awaitOwnReset()
	h.powerOn()
	h.awaitDaemon()
	h.wantRunning("1.1.0", partitions.SlotB)
	if s := h.status(exitOK); s.Running.Standing != "committed" || s.Last == nil || s.Last.Outcome != "committed" {
		t.Errorf("status: %+v", s)
	}
	h.wantSameIdentity(known)
	h.wantEvents("armed", "739a2733f1a248939ac7e6ddfc08766d", "1.1.0")
	h.wantEvents("committed", "03b3a4e5608d4e008f78567bb85dafbd", "1.1.0")
	h.wantEvents("watch-passed", "45c508b218a446049ef7bf60522e23fb", "1.1.0")
	h.checkDaemon()
	h.wantHooks("update-before", "update-after", "reboot-before", "committed")

	publish(bad)
	h.awaitOwnReset()
	h.powerOn()
	h.awaitOwnReset()
	h.powerOn()
	h.awaitDaemon()
	h.wantRunning("1.1.0", partitions.SlotB)
	s := h.status(exitWentBack)
	if s.Last == nil || s.Last.Version != "1.2.0" || len(s.Blocked) != 1 || s.Pending != nil || s.Phase != "bad" {
		t.Errorf("status: %+v", s)
	}
	if text := h.agent("status --offline", exitWentBack).Stdout; !strings.Contains(text, "settled.service") {
		t.Errorf("status does not say why, with the failed boot's last lines:\n%s", text)
	} else {
		t.Log(text)
	}
	h.want("grep -l settled.service /var/lib/proa/agent/failed/1.2.0-*.log | wc -l", "1")
	h.wantHooks("went-back")
	h.awaitState("it polled and leaves the release alone", func(d daemonState) bool {
		return d.Activity == "idle" && d.LastPoll != nil && d.Staged == ""
	})
	h.checkDaemon()
	h.wantSameIdentity(known)
}

// awaitOwnReset waits until the machine has found an update, installed it and gone
// down, or has judged it.
func (h *host) awaitOwnReset() {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 3*patience)
	defer cancel()
	reason, err := h.boot.Wait(ctx)
	if err != nil || reason != machine.ReasonReset {
		h.t.Fatalf("boot %d ended with %s, %v", h.boot.Number, reason, err)
	}
	h.t.Logf("boot %d: reset after %.0f s", h.boot.Number, time.Since(h.boot.Start).Seconds())
}

// daemonState is what the tests look at in agent.json.
type daemonState struct {
	Activity string `json:"activity"`
	WaitsFor string `json:"waitsFor"`
	Policy   string `json:"policy"`
	Staged   string `json:"staged"`
	LastPoll *struct {
		Error string `json:"error"`
	} `json:"lastPoll"`
}

// awaitState waits until the daemon says what is wanted.
func (h *host) awaitState(what string, wanted func(daemonState) bool) {
	h.t.Helper()
	ctx, last := h.wait(), ""
	for {
		r, err := h.boot.Run(ctx, "cat /run/proa/agent.json")
		if err != nil {
			h.t.Fatalf("waiting until %s: %v; last it said\n%s", what, err, last)
		}
		var state daemonState
		if last = r.Stdout + r.Stderr; json.Unmarshal([]byte(r.Stdout), &state) == nil && wanted(state) {
			return
		}
		time.Sleep(time.Second)
	}
}

// awaitDaemon waits until the system is up and the daemon has polled.
func (h *host) awaitDaemon() {
	h.t.Helper()
	if err := h.boot.WaitReady(h.wait()); err != nil {
		h.t.Fatal(err)
	}
	h.run("systemctl is-system-running --wait || { systemctl --failed --no-pager; journalctl -b --no-pager | tail -n 60; exit 1; }")
	h.awaitState("it waits", func(d daemonState) bool { return d.Activity == "idle" && d.LastPoll != nil })
	h.t.Logf("boot %d: the daemon waits after %.0f s", h.boot.Number, time.Since(h.boot.Start).Seconds())
}

// checkDaemon checks what the daemon costs, and that its sandbox kept it from
// nothing.
func (h *host) checkDaemon() {
	h.t.Helper()
	h.want("systemctl is-active proa-agent", "active")
	h.want("systemctl show --value -p NRestarts proa-agent", "0")
	h.want(`journalctl -b -u proa-agent -u proa-watch -o cat | grep -iE 'denied|not permitted|read-only|note:'`, "")
	rss := strings.Fields(h.run("grep VmRSS /proc/$(systemctl show --value -p MainPID proa-agent)/status"))
	var kib int
	if _, err := fmt.Sscan(rss[1], &kib); err != nil || kib > 25<<10 {
		h.t.Errorf("idle the daemon takes %v: want at most 25 MiB", rss)
	}
	h.t.Logf("boot %d: idle the daemon takes %d KiB", h.boot.Number, kib)
	metrics := h.run(`perl -MIO::Socket::UNIX -e '$s = IO::Socket::UNIX->new("/run/proa/metrics.sock") or die $!; print $s "GET /metrics HTTP/1.0\r\n\r\n"; print while <$s>'`)
	for _, want := range []string{"\nproa_agent_status_readable 1\n", "\nproa_agent_on_trial 0\n", `proa_agent_activity{activity="idle"} 1`} {
		if !strings.Contains(metrics, want) {
			h.t.Errorf("metrics lack %q:\n%s", want, metrics)
		}
	}
}

const busObject = " org.proa.Agent1 /org/proa/Agent1 org.proa.Agent1 "

// checkBus asks the daemon as root and as somebody else.
func (h *host) checkBus() {
	h.t.Helper()
	h.want("busctl get-property"+busObject+"RunningVersion", `s "`+base+`"`)
	h.want("busctl get-property"+busObject+"Standing", `s "committed"`)
	h.want("busctl call"+busObject+"Status | grep -c product", "1")
	h.want("busctl call"+busObject+"Check", "t 1")
	const nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups "
	h.want(nobody+"busctl get-property"+busObject+"Slot", `s "a"`)
	for _, call := range []string{"Check", "Cancel", "Rollback 'a{sv}' 0", "Update 'a{sv}' 0", "Unblock s 1.0.0"} {
		r, err := h.boot.Run(h.wait(), nobody+"busctl call"+busObject+call)
		if err != nil {
			h.t.Fatal(err)
		}
		if r.ExitCode == 0 || !strings.Contains(r.Stderr, "Access denied") {
			h.t.Errorf("%s as nobody: exit code %d: %s%s", call, r.ExitCode, r.Stdout, r.Stderr)
		}
	}
	// There is nothing to go back to: the unit that is started for it says so.
	r := h.run(`busctl monitor --match "type='signal',interface='org.proa.Agent1',member='JobRemoved'" > /tmp/jobs & monitor=$!
sleep 3; busctl call` + busObject + `Rollback 'a{sv}' 0 && sleep 20; kill $monitor; cat /tmp/jobs`)
	if !strings.Contains(r, `STRING "Refused"`) || !strings.Contains(r, "holds nothing to go back to") {
		h.t.Errorf("Rollback without anything to go back to: %s", r)
	}
	h.run("systemctl reset-failed proa-rollback")
	h.t.Log(h.run("systemd-analyze security proa-agent --no-pager | tail -n 1"))
}

// checkReload gives the daemon other settings and takes them back.
func (h *host) checkReload() {
	h.t.Helper()
	h.run("mkdir -p /etc/proa/agent.d && printf 'policy: check\nmetrics: unix:/run/proa/other.sock\n' > /etc/proa/agent.d/50.yaml && systemctl reload proa-agent")
	h.awaitState("it has other settings", func(d daemonState) bool { return d.Policy == "check" && d.Activity == "idle" })
	h.want("for i in 1 2 3 4 5; do test -S /run/proa/other.sock && break; sleep 1; done; ls /run/proa/*.sock", "/run/proa/other.sock")
	h.run("rm /etc/proa/agent.d/50.yaml && systemctl reload proa-agent")
	h.awaitState("it has its settings again", func(d daemonState) bool { return d.Policy == "automatic" && d.Activity == "idle" })
}

// wantHooks looks for targets that were started, in all boots.
func (h *host) wantHooks(hooks ...string) {
	h.t.Helper()
	for _, hook := range hooks {
		h.want("journalctl -o cat UNIT=proa-"+hook+".target | grep -c ^Reached", "1")
	}
}

// wantEvents looks for an event about a version in the journal of all boots.
func (h *host) wantEvents(name, id, version string) {
	h.t.Helper()
	h.want("journalctl MESSAGE_ID="+id+" -o json --output-fields=PROA_EVENT,PROA_VERSION | grep -c '\"PROA_EVENT\":\""+name+"\"'", "1")
	h.want("journalctl MESSAGE_ID="+id+" PROA_VERSION="+version+" -o cat | wc -l", "1")
}
