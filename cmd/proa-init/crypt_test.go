package main

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// encrypted makes a LUKS2 volume of a partition, as far as cryptsetup does it.
func encrypted(t *testing.T, path string) {
	t.Helper()
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("key"), 0o600); err != nil {
		t.Fatal(err)
	}
	tool(t, "cryptsetup", "luksFormat", "--batch-mode", "--type", "luks2", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", "--key-file", key, path)
}

// overwrite puts bytes into a partition.
func overwrite(t *testing.T, path string, at int64, content []byte) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteAt(content, at); err != nil {
		t.Fatal(err)
	}
}

func TestAnEncryptedPartitionIsOurDataUntilItIsMarkedUnfinished(t *testing.T) {
	path := partition(t, nil)
	if err := mark(path, testSize, true); err != nil {
		t.Fatal(err)
	}
	encrypted(t, path)
	if c := look(t, path); !c.luks || !c.unfinished || c.blank || c.ext4 {
		t.Errorf("cut before the mark was cleared: got %+v", c)
	}
	if err := mark(path, testSize, false); err != nil {
		t.Fatal(err)
	}
	if c := look(t, path); !c.luks || c.unfinished || c.blank {
		t.Errorf("complete: got %+v", c)
	}
	overwrite(t, path, 0, make([]byte, 4096))
	if c := look(t, path); !c.luks || c.blank {
		t.Errorf("with the copy of its header alone: got %+v", c)
	}
}

func TestAFileSystemOverAnOldVolumeIsNoVolume(t *testing.T) {
	path := partition(t, nil)
	encrypted(t, path)
	overwrite(t, path, 0, make([]byte, 4096))
	tool(t, "mke2fs", "-t", "ext4", "-q", "-F", "-b", "4096", path, "40896k")
	overwrite(t, path, 16<<10, []byte("SKUL\xba\xbe\x00\x02"))
	if c := look(t, path); c.luks || !c.ext4 {
		t.Errorf("got %+v", c)
	}
	overwrite(t, path, 0, []byte("LUKS\xba\xbe\x00\x02"))
	if c := look(t, path); !c.luks || c.ext4 {
		t.Errorf("with a first header: got %+v", c)
	}
}

func TestOnlyARecoveryKeyIsTakenForOne(t *testing.T) {
	const key = "dghdruhh-hbhvlhcr-vlcrreij-ufrujeeu-kburdhnc-jvdnuefh-btcicndc-ntfndiif"
	if got, err := parseRecoveryKey([]byte(key + "\n")); err != nil || got != key {
		t.Errorf("got %q, %v", got, err)
	}
	for _, text := range []string{"", key[9:], key + "-" + key[:8], strings.ToUpper(key), key + "\n" + key, strings.Replace(key, "-", " ", 1), strings.Replace(key, "h-h", "-hh", 1)} {
		if _, err := parseRecoveryKey([]byte(text)); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestTheKeyIsSealedToSecureBootWhereItIsEnforced(t *testing.T) {
	for content, want := range map[string]string{"\x06\x00\x00\x00\x01": "7", "\x06\x00\x00\x00\x00": "", "\x06\x00\x00\x00\x01\x01": ""} {
		store := variables(t.TempDir())
		if err := os.WriteFile(store.path(secureBoot, globalVendor), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := registers(store); err != nil || got != want {
			t.Errorf("%x: got %q, %v, want %q", content, got, err, want)
		}
	}
	if got, err := registers(variables(t.TempDir())); err != nil || got != "" {
		t.Errorf("without the variable: got %q, %v", got, err)
	}
}

// The bytes are those that the TPM 2.0 Library Specification, part 3, section
// 22.3, gives for TPM2_PCR_Event.
func TestAnEventIsMeasuredAsTheSpecificationSays(t *testing.T) {
	want := "8002" + "0000001f" + "0000013c" + "0000000b" + "00000009" + "40000009" + "0000" + "00" + "0000" + "0002" + hex.EncodeToString([]byte("hi"))
	if got := hex.EncodeToString(pcrEvent(11, "hi")); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for answer, fine := range map[string]bool{"80020000000a00000000": true, "80010000000a00000101": false, "8002": false, "": false} {
		raw, _ := hex.DecodeString(answer)
		if err := checkAnswer(raw); (err == nil) != fine {
			t.Errorf("answer %q: %v", answer, err)
		}
	}
}

// answering is what a TPM's node looks like, with the answer to the next command.
func answering(t *testing.T, answer string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tpm")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	node, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { node.Close() })
	raw, _ := hex.DecodeString(answer)
	if _, err := node.Write(raw); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTheKeyIsClosedWhereverThereMayBeATPM(t *testing.T) {
	const fine, refused = "80020000000a00000000", "80010000000a00000101"
	for name, test := range map[string]struct {
		answer   string // of the TPM; "" for none
		measured bool   // by the stub
		want     string // of the error; "" for none
	}{
		"a TPM":                         {fine, true, ""},
		"one that the stub did not use": {fine, false, ""},
		"none":                          {"", false, ""},
		"one that does not come":        {"", true, "measured into a TPM"},
		"one that refuses":              {refused, true, "error 0x101"},
		"one unused that refuses":       {refused, false, "error 0x101"},
	} {
		store, path := variables(t.TempDir()), filepath.Join(t.TempDir(), "none")
		if test.measured {
			if err := os.WriteFile(store.path(stubMeasured, loaderVendor), []byte("\x06\x00\x00\x001\x001\x00\x00\x00"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if test.answer != "" {
			path = answering(t, test.answer)
		}
		err := closeKey(path, store, time.Millisecond)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v: want one with %q", name, err, test.want)
		}
	}
}
