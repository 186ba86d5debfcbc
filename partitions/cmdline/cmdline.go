// Package cmdline is proa's part of the kernel's command line. It stands in the
// signed UKI and says everything that is needed to open the root file system,
// so that nothing on the disk has to be trusted for it.
package cmdline

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/proa-os/proa/partitions/verity"
)

// Boot is what proa-init is told.
type Boot struct {
	Root     verity.Root   // proa.roothash=, proa.salt=, proa.blocks=
	EtcLost  bool          // proa.etc=transient: changes in /etc are lost at reboot; overlay keeps them
	VarTPM2  bool          // proa.var=tpm2: /var is encrypted, its key sealed by the TPM
	RootWait time.Duration // proa.rootwait=SECONDS: how long to wait for the root's disk
	Watchdog time.Duration // proa.watchdog=SECONDS: reset a machine that hangs for so long; 0 is off
	Config   string        // proa.config=URL: where the machine's configuration is to be fetched; see package hostconfig
	Digest   string        // proa.config.sha256=: what that has, in hex digits
	Live     bool          // proa.live: the root is on the medium that was booted, and nothing outlives this boot
}

// DefaultRootWait is RootWait where the command line does not say.
const DefaultRootWait = 30 * time.Second

const mostSeconds = 3600

// String is the parameters in the order above, without those that have their
// default.
func (b Boot) String() string {
	etc := "overlay"
	if b.EtcLost {
		etc = "transient"
	}
	line := fmt.Sprintf("proa.roothash=%x proa.salt=%x proa.blocks=%d proa.etc=%s", b.Root.Hash, b.Root.Salt, b.Root.Blocks, etc)
	if b.VarTPM2 {
		line += " proa.var=tpm2"
	}
	if b.RootWait != 0 && b.RootWait != DefaultRootWait {
		line += fmt.Sprintf(" proa.rootwait=%d", int(b.RootWait.Seconds()))
	}
	if b.Watchdog != 0 {
		line += fmt.Sprintf(" proa.watchdog=%d", int(b.Watchdog.Seconds()))
	}
	if b.Config != "" {
		line += " proa.config=" + b.Config
	}
	if b.Digest != "" {
		line += " proa.config.sha256=" + b.Digest
	}
	if b.Live {
		line += " proa.live"
	}
	return line
}

// most is how many bytes of a command line Linux keeps: COMMAND_LINE_SIZE less its NUL.
const most = 2047

// Join makes a kernel command line of words. One that Linux would cut, or Parse
// refuses, is an error.
func Join(words []string) (string, error) {
	line := strings.Join(words, " ")
	if len(line) > most {
		return "", fmt.Errorf("the kernel's command line has %d bytes: it takes %d", len(line), most)
	}
	_, err := Parse(line)
	return line, err
}

// Parse reads a whole kernel command line. Parameters of others are passed
// over; an unknown one that starts with "proa.", a repeated one, a missing or
// malformed one are errors that name it. Those of an installation (proa.install,
// proa.install.*) are left to the installer.
func Parse(line string) (Boot, error) {
	values := map[string]string{}
	for _, word := range strings.Fields(line) {
		key, value, _ := strings.Cut(word, "=")
		name, ours := strings.CutPrefix(key, "proa.")
		if !ours || name == "install" || strings.HasPrefix(name, "install.") {
			continue
		}
		switch name {
		case "roothash", "salt", "blocks", "etc", "var", "rootwait", "watchdog", "live", "config", "config.sha256":
		default:
			return Boot{}, fmt.Errorf("kernel parameter %.80q: proa has no such parameter", key)
		}
		if _, repeated := values[name]; repeated {
			return Boot{}, fmt.Errorf("kernel parameter %s is given twice", key)
		}
		values[name] = value
	}
	for _, required := range []string{"roothash", "salt", "blocks"} {
		if values[required] == "" {
			return Boot{}, fmt.Errorf("kernel parameter proa.%s is missing", required)
		}
	}
	root, err := verity.ParseRoot(values["roothash"], values["salt"], values["blocks"])
	if err != nil {
		return Boot{}, fmt.Errorf("kernel parameters proa.roothash, proa.salt and proa.blocks: %w", err)
	}
	// A URL that cannot be fetched is no reason not to boot: it is read later.
	boot := Boot{Root: root, RootWait: DefaultRootWait, Config: values["config"], Digest: values["config.sha256"]}
	switch values["etc"] {
	case "", "overlay":
	case "transient":
		boot.EtcLost = true
	default:
		return Boot{}, fmt.Errorf("kernel parameter proa.etc=%.80q: want overlay or transient", values["etc"])
	}
	live, given := values["live"]
	if live != "" {
		return Boot{}, fmt.Errorf("kernel parameter proa.live=%.80q: want it without a value", live)
	}
	boot.Live = given
	switch text, given := values["var"]; {
	case text == "tpm2":
		boot.VarTPM2 = true
	case given:
		return Boot{}, fmt.Errorf("kernel parameter proa.var=%.80q: want tpm2", text)
	}
	err = errors.Join(
		seconds("rootwait", values, &boot.RootWait),
		seconds("watchdog", values, &boot.Watchdog),
	)
	if err != nil {
		return Boot{}, err
	}
	return boot, nil
}

func seconds(name string, values map[string]string, into *time.Duration) error {
	text, ok := values[name]
	if !ok {
		return nil
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n > mostSeconds {
		return fmt.Errorf("kernel parameter proa.%s=%.80q: want 0 to %d seconds", name, text, mostSeconds)
	}
	*into = time.Duration(n) * time.Second
	return nil
}
