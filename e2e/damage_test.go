package e2e

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/proa-os/proa/machine"
	"github.com/proa-os/proa/partitions"
)

// armedHost is a machine whose power was cut right after 1.1.0 had been armed.
// It is made once; every test gets a copy of its disk and variables, switched
// off.
func armedHost(t *testing.T) *host {
	t.Helper()
	disk, vars := shared.path("armed.raw"), shared.path("armed.fd")
	shared.arming.Do(func() {
		h := fresh(t, "armed")
		h.start()
		h.follow("good")
		h.update(exitOK)
		h.boot.PowerCut()
		for to, from := range map[string]string{disk: h.machine.Disk(), vars: h.machine.Variables()} {
			if err := machine.Clone(to, from); err != nil {
				t.Fatal(err)
			}
		}
		shared.armed = true
	})
	if !shared.armed {
		t.Fatal("no machine could be armed: the first test that needed one says why")
	}
	return newHost(t, "armed", disk, vars)
}

const cameBack = "came back without a verdict, trial 1 of 3"

func TestAPowerCutRightAfterArmingKeepsTheTrial(t *testing.T) {
	t.Parallel()
	h := armedHost(t)
	h.start()
	h.wantCommittedUpdate("1.1.0")
}

func TestAUKIThatDoesNotLoadGoesBack(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func([]byte) []byte{
		"truncated": func(uki []byte) []byte { return uki[:len(uki)/2] },
		"garbage": func(uki []byte) []byte {
			noise, err := io.ReadAll(io.LimitReader(rand.NewChaCha8([32]byte{}), int64(len(uki))))
			if err != nil {
				t.Fatal(err)
			}
			return noise
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := armedHost(t)
			h.replaceUKI(partitions.SlotB, change)
			// The loader gives up and the firmware takes its next option: no reset.
			h.start()
			h.wantBack("1.1.0", cameBack, false)
		})
	}
}

func TestACorruptRootGoesBackAndTheNextUpdateMendsIt(t *testing.T) {
	t.Parallel()
	h := armedHost(t)
	init, err := os.ReadFile(shared.path("init"))
	if err != nil {
		t.Fatal(err)
	}
	at := h.locate(partitions.RoleRootB, init[:4096])
	h.overwrite(partitions.RoleRootB, at, bytes.Repeat([]byte{0xff}, 16))
	h.powerOn()
	h.awaitReset()
	h.start()
	h.wantBack("1.1.0", cameBack, false)

	h.start()
	h.agent("update", exitRefused) // the pause between trials is not over
	if u := h.update(exitOK, "--now"); u.Result != "armed" || u.Reused == 0 || u.Downloaded == 0 {
		t.Errorf("update over the corrupt slot: %+v", u)
	}
	h.runUntilReset("reboot")
	h.start()
	h.wantCommittedUpdate("1.1.0")
}

func TestAMissingRootGoesBack(t *testing.T) {
	t.Parallel()
	h := armedHost(t)
	h.overwrite(partitions.RoleRootB, 0, make([]byte, 64<<10))
	h.overwrite(partitions.RoleVerityB, 0, make([]byte, 64<<10))
	h.powerOn()
	h.awaitReset()
	h.start()
	h.wantBack("1.1.0", cameBack, false)
}
