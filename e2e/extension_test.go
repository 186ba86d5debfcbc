package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proa-os/proa/machine/workshop"
	"github.com/proa-os/proa/partitions"
)

// greeterUnit is a service of the extension.
const greeterUnit = `[Unit]
Description=Of the extension
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'cp /usr/share/greeter/message /run/greeter'
`

// buildExtension builds a version of an extension for Debian 13 from files. What its
// name says, it is: greeter-1 goes into the folder greeter.
func buildExtension(t *testing.T, image referenceImage, kind, name, version string, files map[string]string) {
	t.Helper()
	source := name + "-" + version
	image.write(source+"/recipe.yaml", "product: "+name+"\nsources: [{dir: tree}]\nfits: {id: debian, versionId: \"13\"}\n")
	for path, text := range files {
		path = source + "/tree/" + path
		if target, isLink := strings.CutPrefix(text, "-> "); isLink {
			if err := errors.Join(os.MkdirAll(filepath.Dir(image.path(path)), 0o755), os.Symlink(target, image.path(path))); err != nil {
				t.Fatal(err)
			}
			continue
		}
		image.write(path, text)
		if strings.HasPrefix(text, "#!") {
			if err := os.Chmod(image.path(path), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := shared.proaRun(t.Context(), "build", image.path(source), "--kind", kind, "-o", image.path(name), "--force", "--version", version); err != nil {
		t.Fatal(err)
	}
}

// TestExtensionsFollowTheirReleaseThereAndBack has a release whose extension finds
// itself unhealthy. It is of Debian 13, whose systemd knows both kinds.
func TestExtensionsFollowTheirReleaseThereAndBack(t *testing.T) {
	t.Parallel()
	const name = "extension"
	// Of a product of its own: other tests publish other releases of hello.
	image := newReferenceImage(t, "debian", "product: hello", "product: greeted", "bookworm", "trixie",
		"- busybox-static", "- busybox-static\n        - libcryptsetup12", "update:\n", "extensions: [greeter, site]\nupdate:\n")
	image.write("overlay/etc/proa/agent.yaml", fmt.Sprintf("repository: %s\nchannel: %s\npolicy: check\npoll: 12h\njitter: 0s\nhealthLimit: 1m\n", shared.front.url(name), name))
	image.write("release/usr/share/hello/message", "hello\n")
	if err := workshop.AddGuest(t.Context(), image.path("release")); err != nil {
		t.Fatal(err)
	}
	release := func(version, extensions, health string) (folder string) {
		t.Helper()
		greeter := map[string]string{
			"usr/share/greeter/message":                                      "greetings " + extensions + "\n",
			"usr/lib/systemd/system/greeter.service":                         greeterUnit,
			"usr/lib/systemd/system/multi-user.target.wants/greeter.service": "-> ../greeter.service",
		}
		if health != "" {
			greeter["usr/lib/proa/health.d/50-greeter"] = "#!/bin/sh\n" + health + "\n"
		}
		buildExtension(t, image, "sysext", "greeter", extensions, greeter)
		buildExtension(t, image, "confext", "site", extensions, map[string]string{"etc/site/place": "place " + extensions + "\n"})
		return image.buildAs(version)
	}
	publish := func(out string) {
		t.Helper()
		if err := shared.proaRun(t.Context(), "repo", "publish", out, "--repo", "repo", "--keys", "keys", "--channel", name); err != nil {
			t.Fatal(err)
		}
	}
	first := release(base, "1", "")
	second := release("1.1.0", "2", "cat /etc/site/place /usr/share/greeter/message /run/greeter > /var/seen; sync; echo greeter: nobody answers >&2; exit 1")
	publish(first)

	// A factory's disk has none of them.
	h := newHostWith(t, name, filepath.Join(first, "disk.raw"), "", 1024)
	h.powerOn()
	h.awaitDaemon()
	h.wantRunning(base, partitions.SlotA)
	h.want("proa-agent extensions", "greeter   1   sysext    missing\nsite      1   confext   missing")
	if out := h.agent("update", exitOK); !strings.Contains(out.Stderr, "the next boot attaches them") {
		t.Errorf("update says %s%s", out.Stdout, out.Stderr)
	}
	h.run("systemctl restart proa-extensions.service && systemctl restart systemd-sysext.service systemd-confext.service proa-extensions-units.service")
	wantFirst := func() {
		t.Helper()
		h.want("cat /etc/site/place /usr/share/greeter/message; proa-agent extensions", "place 1\ngreetings 1\ngreeter   1   sysext    attached\nsite      1   confext   attached")
		// What is mounted is what the root hashes name.
		h.want(`for e in extensions/greeter confexts/site; do /sbin/dmsetup table | grep -c "$(cat /run/$e.roothash)"; done`, "1\n1")
	}
	wantFirst()

	publish(second)
	h.agent("update", exitOK)
	wantFirst()
	h.runUntilReset("reboot")
	h.powerOn()
	h.awaitReset()

	h.powerOn()
	h.awaitDaemon()
	h.wantRunning(base, partitions.SlotA)
	h.want("cat /var/seen", "place 2\ngreetings 2\ngreetings 2")
	wantFirst()
	h.want("cat /run/greeter; systemctl is-active greeter.service systemd-sysext.service systemd-confext.service | xargs", "greetings 1\nactive active active")
	s := h.status(exitWentBack)
	if s.Last == nil || s.Last.Version != "1.1.0" || !strings.Contains(s.Last.Reason, "nobody answers") || len(s.Problems) > 0 {
		t.Errorf("status: %+v", s)
	}
}
