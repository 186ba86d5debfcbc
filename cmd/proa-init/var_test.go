package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

const testSize = 40 << 20

// partition makes a file like a partition, with something at its start.
func partition(t testing.TB, start []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "var")
	if err := os.WriteFile(path, start, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, testSize); err != nil {
		t.Fatal(err)
	}
	return path
}

// tool runs a program of e2fsprogs.
func tool(t *testing.T, args ...string) {
	t.Helper()
	path, err := exec.LookPath(args[0])
	if err != nil {
		path = "/usr/sbin/" + args[0]
	}
	if out, err := exec.Command(path, args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v (install e2fsprogs): %v\n%s", args, err, out)
	}
}

func look(t *testing.T, path string) content {
	t.Helper()
	c, err := examine(path)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestOnlyABlankPartitionIsFormatted(t *testing.T) {
	if c := look(t, partition(t, nil)); !c.blank || c.ext4 || c.unfinished || c.size != testSize {
		t.Errorf("zeros: got %+v", c)
	}
	for name, start := range map[string][]byte{
		"a boot sector":              []byte("\xeb\x58\x90mkfs.fat"),
		"LUKS":                       []byte("LUKS\xba\xbe\x00\x02"),
		"one byte at the last place": append(make([]byte, blankSize-1), 1),
		"erofs":                      append(make([]byte, 1024), 0xe2, 0xe1, 0xf5, 0xe0),
	} {
		if c := look(t, partition(t, start)); c.blank || c.ext4 || c.unfinished {
			t.Errorf("%s: got %+v", name, c)
		}
	}
}

func TestFileSystemOfMke2fsIsRecognised(t *testing.T) {
	path := partition(t, nil)
	tool(t, "mke2fs", "-t", "ext4", "-q", "-F", "-b", "4096", path, "32768k")
	if c := look(t, path); c.blank || !c.ext4 || c.faulty || c.blocks != 8192 || c.blockSize != 4096 {
		t.Errorf("got %+v", c)
	}
	tool(t, "debugfs", "-w", "-R", "ssv state 2", path)
	if c := look(t, path); !c.ext4 || !c.faulty {
		t.Errorf("with errors: got %+v", c)
	}
	tool(t, "mke2fs", "-t", "ext4", "-q", "-F", "-b", "1024", "-O", "^64bit", path, "32768k")
	if c := look(t, path); !c.ext4 || c.blocks != 32768 || c.blockSize != 1024 {
		t.Errorf("small blocks: got %+v", c)
	}
}

// A power cut while mke2fs writes leaves a partition that is neither blank nor
// ext4, and must not count as somebody's data.
func TestInterruptedFormattingIsDoneAgain(t *testing.T) {
	path := partition(t, []byte("half a file system"))
	if look(t, path).unfinished {
		t.Error("foreign data without a mark counts as ours")
	}
	if err := mark(path, testSize, true); err != nil {
		t.Fatal(err)
	}
	if !look(t, path).unfinished {
		t.Error("the mark is not seen")
	}

	// A file system that is complete, but not yet unmarked, was never mounted.
	tool(t, "mke2fs", "-t", "ext4", "-q", "-F", "-b", "4096", path, "40896k")
	if c := look(t, path); !c.unfinished || !c.ext4 {
		t.Errorf("before it is unmarked: got %+v", c)
	}
	if err := mark(path, testSize, false); err != nil {
		t.Fatal(err)
	}
	if c := look(t, path); c.unfinished || !c.ext4 {
		t.Errorf("after it is unmarked: got %+v", c)
	}
	tool(t, "e2fsck", "-fn", path)

	// In a file system that has been in use, the mark is a file's contents.
	tool(t, "debugfs", "-w", "-R", "ssv mtime 20260101120000", path)
	if err := mark(path, testSize, true); err != nil {
		t.Fatal(err)
	}
	if look(t, path).unfinished {
		t.Error("a used file system counts as unfinished")
	}
}

func FuzzParseContent(f *testing.F) {
	f.Add(make([]byte, blankSize+tailSize))
	super := make([]byte, blankSize+tailSize)
	super[superOffset+superMagic], super[superOffset+superMagic+1] = 0x53, 0xef
	f.Add(super)
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parseContent(bytes.NewReader(b), int64(len(b)))
		if err == nil && c.blank && len(bytes.Trim(b[:blankSize], "\x00")) > 0 {
			t.Fatal("data counts as blank")
		}
		if err == nil && (c.blocks < 0 || c.ext4 && c.blockSize < 1024) {
			t.Fatalf("got %+v", c)
		}
	})
}
