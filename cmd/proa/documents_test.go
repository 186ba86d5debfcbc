package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/manifests/strictyaml"
)

// TestEveryCommandInTheDocumentsExists reads the documents and the files for CI as
// their readers do: each 'proa' in them is a command, with flags that it has.
func TestEveryCommandInTheDocumentsExists(t *testing.T) {
	root := newRootCommand()
	seen := 0
	for _, file := range documents(t) {
		for _, line := range shellLines(t, file) {
			for _, words := range shellCommands(line) {
				if words[0] != "proa" || line == rootMapHeader {
					continue
				}
				seen++
				if fault := commandFault(root, words[1:]); fault != "" {
					t.Errorf("%s: %s: %s", file, strings.Join(words, " "), fault)
				}
			}
		}
	}
	if seen < 100 {
		t.Errorf("found %d commands in the documents: want 100 at least", seen)
	}
}

// rootMapHeader is the first line of a root.map, which documents quote.
const rootMapHeader = "proa root map 1"

func TestTheFilesForCIAreYAML(t *testing.T) {
	for _, name := range []string{"github.yml", "gitlab.yml"} {
		data, err := os.ReadFile(filepath.Join("../../docs/how-to/ci", name))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := strictyaml.Nodes(name, data); err != nil {
			t.Error(err)
		}
	}
}

func documents(t *testing.T) []string {
	t.Helper()
	var files []string
	for _, pattern := range []string{"../../*.md", "../../docs/*/*.md", "../../docs/how-to/ci/*"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: found %d: %v", pattern, len(found), err)
		}
		files = append(files, found...)
	}
	return files
}

// inText are commands in sentences.
var inText = regexp.MustCompile("`(proa [^`]+)`")

// shellLines are the lines of a file that a shell would run, those that go on in the
// next line joined. Of Markdown these are the sessions and the commands in sentences.
func shellLines(t *testing.T, file string) []string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(data), "\\\n", " ")
	var lines []string
	session := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if filepath.Ext(file) != ".md" {
			line = strings.TrimPrefix(line, "- ")
			lines = append(lines, strings.TrimPrefix(line, "run: "))
			continue
		}
		if strings.HasPrefix(line, "```") {
			session = line == "```console"
		} else if typed, ok := strings.CutPrefix(line, "$ "); ok && session {
			lines = append(lines, typed)
		} else if typed, ok := strings.CutPrefix(line, "# "); ok && session {
			lines = append(lines, typed)
		}
		for _, match := range inText.FindAllStringSubmatch(line, -1) {
			lines = append(lines, match[1])
		}
	}
	return lines
}

// shellCommands are the commands of a line of shell, as words without quotes.
func shellCommands(line string) [][]string {
	var commands [][]string
	var words []string
	var word strings.Builder
	inWord := false
	endWord := func() {
		if inWord {
			words = append(words, word.String())
		}
		word.Reset()
		inWord = false
	}
	endCommand := func() {
		endWord()
		if len(words) > 0 {
			commands = append(commands, words)
		}
		words = nil
	}
	var quote rune
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, inWord = r, true
		case r == '#' && !inWord:
			endCommand()
			return commands
		case strings.ContainsRune("|&;()<>", r):
			endCommand()
		case r == ' ' || r == '\t':
			endWord()
		default:
			word.WriteRune(r)
			inWord = true
		}
	}
	endCommand()
	return commands
}

// commandFault says what of a command line the program would not understand.
func commandFault(root *cobra.Command, args []string) string {
	cmd, rest, err := root.Find(args)
	if err != nil {
		return err.Error()
	}
	if cmd.HasSubCommands() && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
		return "no such command"
	}
	cmd.InitDefaultHelpFlag()
	cmd.InitDefaultVersionFlag()
	for _, arg := range rest {
		name, long := strings.CutPrefix(arg, "--")
		name, _, _ = strings.Cut(name, "=")
		switch {
		case long && name != "" && cmd.Flag(name) == nil:
			return "no flag --" + name
		case !long && len(arg) == 2 && arg[0] == '-' && cmd.Flags().ShorthandLookup(arg[1:]) == nil && cmd.InheritedFlags().ShorthandLookup(arg[1:]) == nil:
			return "no flag " + arg
		}
	}
	return ""
}
