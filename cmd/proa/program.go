package main

import (
	"bytes"
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/manifests"
)

// readProgram reads a program that goes into the image: the one at path, or
// else the one of the given name for the architecture beside this program.
func readProgram(path, name string, arch manifests.Arch) ([]byte, error) {
	flag := "--" + strings.TrimPrefix(name, "proa-")
	if path == "" {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		folder := filepath.Dir(self)
		if arch != manifests.HostArch() {
			folder = filepath.Join(folder, string(arch))
		}
		path = filepath.Join(folder, name)
		if _, err := os.Stat(path); err != nil {
			return nil, cli.Hint(err, fmt.Sprintf("compile it with 'GOARCH=%s go build -o %s ./cmd/%s', or name it with %s", arch, path, name, flag))
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: want a regular file", path)
	}
	program, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if err := checkStatic(program, arch); err != nil {
		return nil, fmt.Errorf("%s: want a static Linux program for %s: %w", path, arch, err)
	}
	return program, nil
}

// checkStatic refuses what would not run where there is nothing but it.
func checkStatic(program []byte, arch manifests.Arch) error {
	file, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		return err
	}
	machine := map[manifests.Arch]elf.Machine{manifests.AMD64: elf.EM_X86_64, manifests.ARM64: elf.EM_AARCH64}[arch]
	if file.Machine != machine {
		return fmt.Errorf("it is for %s", file.Machine)
	}
	for _, part := range file.Progs {
		if part.Type == elf.PT_INTERP {
			return fmt.Errorf("it needs a dynamic linker")
		}
	}
	return nil
}
