package site

import (
	"encoding/xml"
	"errors"
	"io"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const source = "https://github.com/proa-os/proa/blob/main/"

// page is what of a page can lead somewhere, or be led to.
type page struct {
	Links []string // as the page has them
	IDs   []string
}

// built is the folder of the site, made once. SITE_FOLDER names one to keep.
var built = sync.OnceValues(func() (string, error) {
	folder := os.Getenv("SITE_FOLDER")
	if folder == "" {
		var err error
		if folder, err = os.MkdirTemp("", "proa-site-"); err != nil {
			return "", err
		}
	}
	out, err := exec.Command("hugo", "--noBuildLock", "--cleanDestinationDir", "--destination", folder).CombinedOutput()
	if err != nil {
		err = errors.New("hugo: " + err.Error() + ": " + string(out))
	}
	return folder, err
})

func TestMain(m *testing.M) {
	code := m.Run()
	if folder, _ := built(); os.Getenv("SITE_FOLDER") == "" {
		os.RemoveAll(folder)
	}
	os.Exit(code)
}

func TestEveryDocumentIsAPageAndNoLinkLeadsNowhere(t *testing.T) {
	folder, err := built()
	if err != nil {
		t.Fatal(err)
	}
	pages := map[string]page{}
	for _, name := range pageNames(t, folder) {
		if pages[name], err = readPage(filepath.Join(folder, name)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	for _, document := range documents(t) {
		if _, ok := pages[strings.TrimSuffix(document, ".md")+".html"]; !ok {
			t.Errorf("docs/%s is no page of the site", document)
		}
	}
	checkLinks(t, folder, pages)
}

func TestTheReadmeLinksEveryDocument(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, document := range documents(t) {
		if !strings.HasPrefix(document, "decisions/") && !strings.Contains(string(readme), "](docs/"+document+")") {
			t.Errorf("README.md has no link to docs/%s", document)
		}
	}
}

// documents are the Markdown files below docs, relative to it.
func documents(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob("../*/*.md")
	if err != nil || len(found) < 50 {
		t.Fatalf("found %d documents: %v", len(found), err)
	}
	for i := range found {
		found[i] = strings.TrimPrefix(found[i], "../")
	}
	return found
}

func pageNames(t *testing.T, folder string) []string {
	t.Helper()
	var names []string
	err := fs.WalkDir(os.DirFS(folder), ".", func(name string, _ fs.DirEntry, err error) error {
		if path.Ext(name) == ".html" {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// checkLinks follows every link of the pages, by their name below the folder.
// Those to the source lead into this checkout; other sites are not asked.
func checkLinks(t *testing.T, folder string, pages map[string]page) {
	t.Helper()
	followed := 0
	for name, p := range pages {
		for _, link := range p.Links {
			if file, ours := strings.CutPrefix(link, source); ours {
				if _, err := os.Stat(filepath.Join("../..", file)); err != nil {
					t.Errorf("%s: link to %s, which is not in the source", name, file)
				}
				continue
			}
			to, err := url.Parse(link)
			if err != nil {
				t.Errorf("%s: link %q: %v", name, link, err)
				continue
			}
			if to.Scheme != "" {
				continue
			}
			followed++
			target := name
			if to.Path != "" {
				target = path.Join(path.Dir(name), to.Path)
			}
			other, isPage := pages[target]
			if _, err := os.Stat(filepath.Join(folder, target)); err != nil {
				t.Errorf("%s: link to %s, which is not there", name, link)
			} else if to.Fragment != "" && (!isPage || !slices.Contains(other.IDs, to.Fragment)) {
				t.Errorf("%s: link to %s, where nothing has that name", name, link)
			}
		}
	}
	if followed < 1000 {
		t.Errorf("followed %d links: want the menus' at least", followed)
	}
}

// readPage reads what leads somewhere from a page as hugo writes them.
func readPage(file string) (page, error) {
	f, err := os.Open(file)
	if err != nil {
		return page{}, err
	}
	defer f.Close()
	decoder := xml.NewDecoder(f)
	decoder.Strict, decoder.AutoClose, decoder.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	var p page
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return p, nil
		}
		if err != nil {
			return page{}, err
		}
		element, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		for _, a := range element.Attr {
			switch a.Name.Local {
			case "href", "src":
				p.Links = append(p.Links, a.Value)
			case "id":
				p.IDs = append(p.IDs, a.Value)
			}
		}
	}
}
