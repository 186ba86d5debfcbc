package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/updater/hostfs"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newState(t testing.TB) (path string, j *Journal) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "state")
	check(t, os.WriteFile(path, make([]byte, partitions.StateSize), 0o600))
	f, err := hostfs.OS{}.OpenWritable(path)
	check(t, err)
	t.Cleanup(func() { f.Close() })
	return path, New(f)
}

func sample(n int) Record {
	when := time.Date(2026, 11, 23, 9, 14, 0, 0, time.UTC)
	return Record{
		Phase:  Armed,
		Target: &Target{Slot: partitions.SlotB, Release: manifests.DigestOf([]byte("r")), Version: "1.1.0", RootHash: bytes.Repeat([]byte{7}, 32)},
		Offset: int64(n), Tries: 1, BootID: "b",
		Last:          &Result{Version: "1.0.9", When: when, Outcome: WentBack, Reason: "health check x: 503"},
		Blocked:       []Blocked{{Release: manifests.DigestOf([]byte("x")), Version: "1.0.9", Reason: "503", When: when}},
		SecurityEpoch: 4, CommittedSince: &when,
	}
}

func mutate(t testing.TB, path string, change func([]byte)) {
	t.Helper()
	raw, err := os.ReadFile(path)
	check(t, err)
	change(raw)
	check(t, os.WriteFile(path, raw, 0o600))
}

func TestNewestRecordIsRead(t *testing.T) {
	_, j := newState(t)
	for n := range 5 {
		check(t, j.Write(sample(n)))
		got, found, err := j.Read()
		check(t, err)
		if !found || !reflect.DeepEqual(got, sample(n)) {
			t.Fatalf("write %d: read %+v", n, got)
		}
	}
}

func TestDamagedJournalIsTheOlderRecordOrNone(t *testing.T) {
	for name, test := range map[string]struct {
		change func([]byte)
		want   int // the offset that is read; -1 for no record
	}{
		"whole":            {func([]byte) {}, 2},
		"zeroed":           {func(raw []byte) { clear(raw) }, -1},
		"noise":            {func(raw []byte) { copy(raw, bytes.Repeat([]byte("proa"), len(raw)/4)) }, -1},
		"newest torn":      {func(raw []byte) { clear(raw[512:4096]) }, 1},
		"newest flipped":   {func(raw []byte) { raw[100] ^= 1 }, 1},
		"older torn":       {func(raw []byte) { clear(raw[CopyDistance+1024 : CopyDistance+2048]) }, 2},
		"duplicated":       {func(raw []byte) { copy(raw[CopyDistance:], raw[:CopySize]) }, 2},
		"older duplicated": {func(raw []byte) { copy(raw, raw[CopyDistance:CopyDistance+CopySize]) }, 1},
		"from the future":  {func(raw []byte) { reseal(raw, func(c []byte) { binary.LittleEndian.PutUint64(c[8:], math.MaxUint64) }) }, 2},
		"too long": {func(raw []byte) {
			reseal(raw, func(c []byte) { binary.LittleEndian.PutUint32(c[16:], math.MaxUint32) })
		}, 1},
		"not JSON": {func(raw []byte) { reseal(raw, func(c []byte) { c[headerSize] = 'x' }) }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			path, j := newState(t)
			for n := range 3 { // the third is in the first copy
				check(t, j.Write(sample(n)))
			}
			mutate(t, path, test.change)
			got, found, err := j.Read()
			check(t, err)
			if found != (test.want >= 0) || found && got.Offset != int64(test.want) {
				t.Fatalf("read %+v, found %t: want record %d", got, found, test.want)
			}
			check(t, j.Write(sample(9)))
			if got, found, err := j.Read(); err != nil || !found || got.Offset != 9 {
				t.Errorf("the next write is read as %+v, %t, %v", got, found, err)
			}
		})
	}
}

// reseal changes the first copy and makes its checksum right.
func reseal(raw []byte, change func([]byte)) {
	change(raw[:CopySize])
	sum := sha256.Sum256(raw[:CopySize-sha256.Size])
	copy(raw[CopySize-sha256.Size:], sum[:])
}

func TestTornWriteLeavesTheRecordBefore(t *testing.T) {
	path, j := newState(t)
	check(t, j.Write(sample(1)))
	check(t, j.Write(sample(2)))
	before, err := os.ReadFile(path)
	check(t, err)
	check(t, j.Write(sample(3)))
	after, err := os.ReadFile(path)
	check(t, err)
	for cut := 0; cut <= CopySize; cut += 512 {
		mixed := bytes.Clone(before)
		copy(mixed[:cut], after[:cut])
		check(t, os.WriteFile(path, mixed, 0o600))
		got, found, err := j.Read()
		check(t, err)
		if !found || got.Offset != 2 && got.Offset != 3 || cut == CopySize && got.Offset != 3 {
			t.Errorf("torn at %d: read %+v, %t", cut, got, found)
		}
	}
}

func TestMediumThatDoesNotKeepARecordIsFoundOut(t *testing.T) {
	path, _ := newState(t)
	f, err := hostfs.OS{}.OpenWritable(path)
	check(t, err)
	defer f.Close()
	if err := New(forgetful{f}).Write(sample(1)); err == nil || !strings.Contains(err.Error(), "did not keep") {
		t.Errorf("write: %v", err)
	}
}

type forgetful struct{ hostfs.File }

func (forgetful) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }

func TestMediumThatIsTooShortIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	check(t, os.WriteFile(path, make([]byte, CopySize), 0o600))
	f, err := hostfs.OS{}.Open(path)
	check(t, err)
	defer f.Close()
	if _, _, err := New(f).Read(); err == nil {
		t.Error("a journal of one copy is read without an error")
	}
}

func TestManyBlockedReleasesFit(t *testing.T) {
	_, j := newState(t)
	record := sample(0)
	for n := range 100 {
		record.Block(Blocked{
			Release: manifests.DigestOf(fmt.Append(nil, n)), RootHash: bytes.Repeat([]byte{byte(n)}, 32), Version: manifests.Version(fmt.Sprint(n)),
			Reason: Reason(strings.Repeat("long ", 100)), When: time.Now(),
		})
	}
	check(t, j.Write(record))
	got, _, err := j.Read()
	check(t, err)
	newest := got.Blocked[len(got.Blocked)-1]
	if newest.Version != "99" || newest.Reason == "" || len(got.Blocked) < 8 {
		t.Errorf("%d blocked releases are kept, the newest is %+v", len(got.Blocked), newest)
	}
}

// An older agent must be able to read what a newer one wrote: the machine may
// go back to it.
func TestRecordOfANewerAgentIsRead(t *testing.T) {
	raw, err := json.Marshal(sample(1))
	check(t, err)
	text := strings.Replace(string(raw), `"phase":"armed"`, `"phase":"soaring","new":{"a":[1]}`, 1)
	path, j := newState(t)
	check(t, j.Write(sample(1)))
	mutate(t, path, func(disk []byte) {
		reseal(disk, func(c []byte) {
			clear(c[headerSize : CopySize-sha256.Size])
			copy(c[headerSize:], text)
			binary.LittleEndian.PutUint32(c[16:], uint32(len(text)))
		})
	})
	got, found, err := j.Read()
	if err != nil || !found || got.Phase != "soaring" || got.Target.Version != "1.1.0" {
		t.Errorf("read %+v, %t, %v", got, found, err)
	}
}

func TestHistoryIsBoundedAndGivesWayToWhatIsBlocked(t *testing.T) {
	_, j := newState(t)
	record := sample(0)
	for n := range 3 * HistoryMost {
		record.End(Result{Version: manifests.Version(fmt.Sprint(n)), When: time.Now(), Outcome: WentBack, Reason: "health check x: 503", Try: 1})
	}
	if len(record.History) != HistoryMost || record.History[HistoryMost-1].Version != "22" || record.Last.Version != "23" {
		t.Errorf("last %+v, history %+v", record.Last, record.History)
	}
	check(t, j.Write(record))
	if got, _, err := j.Read(); err != nil || len(got.History) != HistoryMost {
		t.Errorf("read %d results, %v", len(got.History), err)
	}
	for n := range 9 {
		record.Block(Blocked{Release: manifests.DigestOf(fmt.Append(nil, n)), Version: "1", Reason: Reason(strings.Repeat("long ", 100)), When: time.Now()})
	}
	check(t, j.Write(record))
	got, _, err := j.Read()
	check(t, err)
	for _, b := range got.Blocked {
		if b.Reason == "" {
			t.Fatalf("%d results are kept and the reason of a blocked release is not", len(got.History))
		}
	}
	if n := len(got.History); n == HistoryMost || n > 0 && got.History[n-1].Version != "22" {
		t.Errorf("of the history this is kept: %+v", got.History)
	}
}

func TestReasonIsOneShortLine(t *testing.T) {
	for text, want := range map[string]string{
		"a\nb\t c\x1b[31m":       "a b c [31m",
		"a\u009b31m\u202eb\xffc": "a 31m b c",
		strings.Repeat("ä", 300): strings.Repeat("ä", 98) + "…",
	} {
		if got := Reason(text); got != want || len(got) > ReasonMost {
			t.Errorf("%q becomes %q: want %q", text, got, want)
		}
	}
}

// TestTheNewestBlockIsNeverLost: without it the release would be tried again
// for ever.
func TestTheNewestBlockIsNeverLost(t *testing.T) {
	now := time.Now().UTC()
	for _, letter := range []string{"x", "<", `"`, "ä", "\U0001f600"} {
		reason, version := Reason(strings.Repeat(letter, 200)), manifests.Version(strings.Repeat("9", 64))
		release := Target{partitions.SlotB, manifests.Digest{1}, version, make([]byte, 32), 1 << 60, 1 << 40}
		r := Record{
			Phase: Bad, Target: &release, BootID: strings.Repeat("0", 36), SecurityEpoch: 1 << 60, CommittedSince: &now, WatchUntil: &now, RetryAfter: &now, ArmedAt: &now,
			Releases: map[string]Target{"a": release, "b": release},
			Last:     &Result{version, now, WentBack, reason, &now, 10, "/var/lib/proa/agent/failed/" + string(version) + "-before-" + strings.Repeat("0", 32) + ".log"},
		}
		for i := range 20 {
			r.Block(Blocked{manifests.Digest{byte(i + 1)}, bytes.Repeat([]byte{byte(i + 1)}, 32), version, reason, now})
			raw, err := encode(r, 1)
			if err != nil {
				t.Fatalf("%s: %v", letter, err)
			}
			read, _, err := decode(raw)
			if _, blocked := read.BlockOf(manifests.Digest{byte(i + 1)}, nil); err != nil || !blocked || len(read.Blocked) < min(i+1, 3) {
				t.Errorf("%s: after block %d there are %d: %v", letter, i, len(read.Blocked), err)
			}
		}
	}
}

// FuzzDecode makes copies whose checksum is right around any record, and
// feeds the bytes as they are as well.
func FuzzDecode(f *testing.F) {
	text, err := json.Marshal(sample(1))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text, uint32(len(text)))
	f.Add([]byte(`{"phase":"armed","offset":-1}`), uint32(29))
	f.Add([]byte(`{"phase":"new","blocked":[{}],"releases":{"c":{}}}`), uint32(50))
	f.Fuzz(func(t *testing.T, payload []byte, length uint32) {
		if _, _, err := decode(payload); err == nil {
			t.Errorf("%x has no checksum and is read", payload)
		}
		raw := make([]byte, CopySize)
		copy(raw, magic[:])
		copy(raw[headerSize:], payload)
		binary.LittleEndian.PutUint32(raw[16:], length)
		reseal(raw, func([]byte) {})
		record, _, err := decode(raw)
		if err != nil {
			return
		}
		if _, err := encode(record, 1); err != nil && !errors.Is(err, errTooLong) {
			t.Errorf("%+v is read and cannot be written: %v", record, err)
		}
	})
}
