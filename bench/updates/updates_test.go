package main

import (
	"encoding/xml"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/proa-os/proa/bench/workbench"
	"github.com/proa-os/proa/manifests"
)

var sample = report{{
	pair: pairs[0], size: 700e6, copy: workbench.Sample{Took: time.Second}, index: 500e3, plan: time.Second,
	leftOut: []string{"bsdiff: it takes more than 1m0s"},
	figures: []figure{
		{Method: proaDelta, Bytes: 800e3, Making: workbench.Sample{Took: 3 * time.Second, CPU: time.Second},
			Applying: workbench.Sample{Took: time.Second, Peak: 60 << 20}},
		{Method: proaIndex, Bytes: 4e6, Applying: workbench.Sample{Took: 2 * time.Second, Peak: 65 << 20}},
		{Method: ostreeDelta, Bytes: 1e6, Making: workbench.Sample{Took: time.Second, CPU: 2 * time.Second}},
		{Method: xdelta, Bytes: 900e3},
		{Method: casync, Bytes: 10e6},
		{Method: blocks9, Bytes: 4e6},
	},
}}

func TestVerdictsAreAgainstTheBestPeer(t *testing.T) {
	want := map[string]string{
		"delta, bytes : xdelta3":                    "0.889 MISSED",
		"index path, bytes : casync":                "0.400 ",
		"index path, bytes : 4 KiB blocks, zstd -9": "1.000 MISSED",
		"making the delta, CPU : ostree":            "0.500 ",
		"chunk index : image":                       "0.001 ",
		"plan, for 1 GB":                            "1.43 s ",
		"proa, delta, speed : dd with fsync":        "1.00 ",
		"proa, delta, peak memory":                  "60 MiB ",
		"proa, index, speed : dd with fsync":        "0.50 MISSED",
		"proa, index, peak memory":                  "65 MiB MISSED",
	}
	rows := sample.verdicts()[1:]
	if len(rows) != len(want) {
		t.Errorf("%d verdicts: want %d", len(rows), len(want))
	}
	for _, row := range rows {
		if got := row[2] + " " + row[4]; got != want[row[1]] {
			t.Errorf("%s: %q: want %q", row[1], got, want[row[1]])
		}
	}
	if err := sample.missed(); err == nil || err.Error() != "4 figures missed" {
		t.Errorf("missed: %v", err)
	}
}

func TestTheDocumentKeepsWhatIsAroundItsMarks(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, document)
	if err := os.WriteFile(path, []byte("before\n"+begin+"old\n"+end+"after\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := sample.write(folder); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got := string(text)
	if !strings.HasPrefix(got, "before\n"+begin) || !strings.HasSuffix(got, end+"after\n") || strings.Contains(got, "old\n") {
		t.Errorf("document:\n%s", got)
	}
	if n := strings.Count(got, "| proa, delta | 800.0 kB |"); n != 1 {
		t.Errorf("%d rows of our delta: want 1\n%s", n, got)
	}
	if !strings.Contains(got, "Left out: bsdiff: it takes more than 1m0s.") {
		t.Error("does not say what was left out")
	}
	drawn, err := os.Open(filepath.Join(folder, drawing))
	if err != nil {
		t.Fatal(err)
	}
	defer drawn.Close()
	bars := 0
	for d := xml.NewDecoder(drawn); ; {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "rect" {
			bars++
		}
	}
	if bars != len(sample[0].figures) {
		t.Errorf("%d bars: want %d", bars, len(sample[0].figures))
	}
}

func TestConfigurationsHaveTheirSizes(t *testing.T) {
	for _, size := range []int{oldSettings, newSettings} {
		if text := configuration(size); len(text) != size || !strings.HasSuffix(text, "\n") {
			t.Errorf("%d bytes: want %d", len(text), size)
		}
	}
}

func TestFallbacksOfADeltaAreCounted(t *testing.T) {
	bytes, err := fallbacks("Number of parts: 1\nTotal Fallback Size: 4711 (4.7 kB)\nTotal Fallback Uncompressed Size: 9000 (9.0 kB)\n")
	if err != nil || bytes != 4711 {
		t.Errorf("%d, %v: want 4711", bytes, err)
	}
	if _, err := fallbacks("Number of parts: 1\n"); err == nil {
		t.Error("no error for a description without them")
	}
}

func TestEveryByteThatIsServedIsCountedOnce(t *testing.T) {
	folder := t.TempDir()
	transport := manifests.Transport{
		Root:   manifests.FetchFile{Digest: manifests.Digest{1}},
		Index:  manifests.FetchFile{Digest: manifests.Digest{2}},
		UKI:    manifests.UKI{FetchFile: manifests.FetchFile{Digest: manifests.Digest{3}}},
		Deltas: []manifests.Delta{{FetchFile: manifests.FetchFile{Digest: manifests.Digest{4}}}},
	}
	for i, path := range []string{
		manifests.ArtifactPath(transport.Root.Digest), manifests.ArtifactPath(transport.Index.Digest),
		manifests.ArtifactPath(transport.UKI.Digest), manifests.ArtifactPath(transport.Deltas[0].Digest), "metadata/timestamp.json",
	} {
		path = filepath.Join(folder, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, make([]byte, 1000<<i), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s, err := serve(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	get := func(path, ranges string) {
		t.Helper()
		request, err := http.NewRequest("GET", s.URL()+"/"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if ranges != "" {
			request.Header.Set("Range", ranges)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if _, err := io.Copy(io.Discard, answer.Body); err != nil {
			t.Fatal(err)
		}
	}
	get(manifests.ArtifactPath(transport.Root.Digest), "bytes=100-199")
	get(manifests.ArtifactPath(transport.Index.Digest), "")
	get(manifests.ArtifactPath(transport.UKI.Digest), "bytes=0-9")
	get(manifests.ArtifactPath(transport.Deltas[0].Digest), "")
	get("metadata/timestamp.json", "")
	if kernel, root, metadata := s.Of(transport); kernel != 10 || root != 100+2000+8000 || metadata != 16000 {
		t.Errorf("kernel %d, root %d, metadata %d: want 10, 10100, 16000", kernel, root, metadata)
	}
	s.Forget()
	if kernel, root, metadata := s.Of(transport); kernel+root+metadata != 0 {
		t.Errorf("%d, %d, %d after forgetting: want 0", kernel, root, metadata)
	}
}
