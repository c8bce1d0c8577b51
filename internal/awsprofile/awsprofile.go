// Package awsprofile writes profiles into AWS's shared config and credentials files, leaving all else in them, comments
// and order included, as it was.
// https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html
package awsprofile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Profile is what a client needs to use an installation.
type Profile struct {
	Name                         string
	Region, EndpointURL          string
	AccessKeyID, SecretAccessKey string
	// CABundle is the file of the CA that the endpoint's certificate is signed with; empty is one that clients know.
	CABundle string
}

// Write puts the profile into DIR/config and DIR/credentials (mode 0600, directory 0700), in place of one of the same name.
// Each file is replaced whole or not at all; a symbolic link stays one.
func Write(dir string, p Profile) error {
	if p.Name == "" || strings.ContainsAny(p.Name, "[]\n\r") {
		return fmt.Errorf("%q cannot be a profile's name", p.Name)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	header := "profile " + p.Name
	if p.Name == "default" {
		header = p.Name
	}
	// SDKs would put "streaming-" before the endpoint's host for some operations (StartLiveTail): a host that isn't there.
	body := "region = " + p.Region + "\nendpoint_url = " + p.EndpointURL + "\ndisable_host_prefix_injection = true\n"
	if p.CABundle != "" {
		body += "ca_bundle = " + p.CABundle + "\n"
	}
	err := edit(filepath.Join(dir, "config"), header, body)
	if err != nil {
		return fmt.Errorf("write AWS config: %w", err)
	}
	err = edit(filepath.Join(dir, "credentials"), p.Name, "aws_access_key_id = "+p.AccessKeyID+"\naws_secret_access_key = "+p.SecretAccessKey+"\n")
	if err != nil {
		return fmt.Errorf("write AWS credentials: %w", err)
	}
	return nil
}

func edit(path, header, body string) error {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.WriteString(replace(string(old), header, body))
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// replace gives text with the section's body in place of that of the section of that header, or added at the end.
func replace(text, header, body string) string {
	var out strings.Builder
	inside, done := false, false
	for line := range strings.Lines(text) {
		if name, ok := sectionOf(line); ok {
			inside = name == header
			if inside && !done {
				done = true
				out.WriteString("[" + header + "]\n" + body)
			}
		}
		// A comment or blank line inside the old section belongs to whatever follows it.
		if inside && strings.TrimSpace(line) != "" && !isComment(line) {
			continue
		}
		out.WriteString(line)
	}
	if done {
		return out.String()
	}
	if s := out.String(); s != "" && !strings.HasSuffix(s, "\n\n") {
		if !strings.HasSuffix(s, "\n") {
			out.WriteString("\n")
		}
		out.WriteString("\n")
	}
	out.WriteString("[" + header + "]\n" + body)
	return out.String()
}

func sectionOf(line string) (string, bool) {
	line = strings.TrimSpace(line)
	if !strings.HasPrefix(line, "[") {
		return "", false
	}
	name, _, ok := strings.Cut(line[1:], "]")
	return strings.Join(strings.Fields(name), " "), ok
}

func isComment(line string) bool {
	line = strings.TrimSpace(line)
	return strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";")
}
