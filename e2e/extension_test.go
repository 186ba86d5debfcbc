package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proa-os/proa/machine"
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

// buildGreeter builds a version of an extension with a file and a service. The folder of
// the build is greeter.
func buildGreeter(t *testing.T, folder, version string) {
	t.Helper()
	write := func(name, text string, mode os.FileMode) {
		t.Helper()
		path := filepath.Join(folder, "source-"+version, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("recipe.yaml", "product: greeter\nsources: [{dir: tree}]\nfits: {id: debian, versionId: \"12\"}\n", 0o644)
	write("tree/usr/share/greeter/message", "greetings "+version+"\n", 0o644)
	write("tree/usr/lib/systemd/system/greeter.service", greeterUnit, 0o644)
	wants := filepath.Join(folder, "source-"+version, "tree/usr/lib/systemd/system/multi-user.target.wants")
	if err := os.MkdirAll(wants, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../greeter.service", filepath.Join(wants, "greeter.service")); err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(t.Context(), shared.path("bin", "proa"), "build", filepath.Join(folder, "source-"+version),
		"--kind", "sysext", "-o", filepath.Join(folder, "greeter"), "--force", "--version", version)
	if err := output(build); err != nil {
		t.Fatal(err)
	}
}

// TestAnExtensionIsFetchedAndAttachedByItsRootHash shows one release. That another one,
// and a way back, bring theirs is tested on plain files, in updater.
func TestAnExtensionIsFetchedAndAttachedByItsRootHash(t *testing.T) {
	t.Parallel()
	const name = "extension"
	// Of a product of its own: other tests publish other releases of hello.
	image := newReferenceImage(t, "debian", "product: hello", "product: greeted", "update:\n", "extensions: [greeter]\nupdate:\n")
	image.write("release/usr/share/hello/message", "hello\n")
	image.write("overlay/etc/proa/agent.yaml", fmt.Sprintf("repository: %s\nchannel: %s\npolicy: check\npoll: 12h\njitter: 0s\nhealthLimit: 1m\n", shared.front.url(name), name))
	if err := workshop.AddGuest(t.Context(), image.path("release")); err != nil {
		t.Fatal(err)
	}
	buildGreeter(t, image.folder, "1")
	first := image.build()
	if err := shared.proaRun(t.Context(), "repo", "publish", first, "--repo", "repo", "--keys", "keys", "--channel", name); err != nil {
		t.Fatal(err)
	}

	// A factory's disk has none of them.
	h := newHostWith(t, name, filepath.Join(first, "disk.raw"), "", machine.MemoryDebian)
	h.powerOn()
	h.awaitDaemon()
	h.wantRunning(base, partitions.SlotA)
	h.want("proa-agent extensions", "greeter   1   sysext   missing")
	if out := h.agent("update", exitOK); !strings.Contains(out.Stderr, "the next boot attaches them") {
		t.Errorf("update says %s%s", out.Stdout, out.Stderr)
	}
	h.run("systemctl restart proa-extensions.service && systemctl restart systemd-sysext.service proa-extensions-units.service")
	h.want("cat /usr/share/greeter/message; proa-agent extensions", "greetings 1\ngreeter   1   sysext   attached")
	// What is mounted is what the root hash names.
	h.want(`/sbin/dmsetup table | grep -c "$(cat /run/extensions/greeter.roothash)"`, "1")
}
