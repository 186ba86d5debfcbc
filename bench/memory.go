package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// memory notes the agent's peak memory for images that are far from each other
// in size. The images and the host are those of a benchmark of the agent itself.
func (b *bench) memory(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "-", "-bench", "UpdateMemory", "-benchtime", "1x", "-timeout", "1h", "./cmd/proa-agent")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	peaks, err := parsePeaks(out)
	if err != nil {
		return err
	}
	if len(peaks) < 2 {
		return fmt.Errorf("%d figures: want one for each image\n%s", len(peaks), out)
	}
	for _, p := range peaks {
		b.noteBytes("proa-agent update, peak memory, image of "+p.image, p.bytes, 64<<20)
	}
	return nil
}

type imagePeak struct {
	image string
	bytes int64
}

// parsePeaks reads the lines of go test -bench, such as
// "BenchmarkUpdateMemory/4GB-2  1  70107451469 ns/op  45.19 MiB-peak".
func parsePeaks(out []byte) ([]imagePeak, error) {
	var peaks []imagePeak
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		name, isFigure := strings.CutPrefix(lines.Text(), "BenchmarkUpdateMemory/")
		if !isFigure {
			continue
		}
		fields := strings.Fields(name)
		for i, unit := range fields {
			if unit != "MiB-peak" || i == 0 {
				continue
			}
			mib, err := strconv.ParseFloat(fields[i-1], 64)
			if err != nil {
				return nil, err
			}
			image, _, _ := strings.Cut(fields[0], "-")
			peaks = append(peaks, imagePeak{image, int64(mib * (1 << 20))})
		}
	}
	return peaks, nil
}
