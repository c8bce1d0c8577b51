package logs

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// The drivers that there are.
const (
	driverAWSLogs  = "awslogs"
	driverJSONFile = "json-file"
	driverNone     = "none"
	driverFluentd  = "fluentd"
	driverSyslog   = "syslog"
	driverGELF     = "gelf"
	driverSplunk   = "splunk"
	driverJournald = "journald"
)

// Drivers are those whose output goes to a target of their own, by the protocols that this package speaks. journald needs a
// journal on the machine: HasJournal.
var Drivers = []string{driverFluentd, driverSyslog, driverGELF, driverSplunk}

// common are the options of all drivers that have tags and attributes.
var common = []string{"tag", "labels", "labels-regex", "env", "env-regex", "mode", "max-buffer-size"}

// options are an awslogs configuration.
type options struct {
	group, region  string
	stream, prefix string
	createGroup    bool
	// multiline matches the first line of an event; nil if each line is one.
	multiline *regexp.Regexp
}

// known are each driver's options. Docker's others are refused: what they ask for would not happen.
var known = map[string][]string{
	driverNone:     nil,
	driverJSONFile: {"max-size", "max-file", "compress", "mode", "max-buffer-size"},
	driverAWSLogs: {"awslogs-group", "awslogs-region", "awslogs-stream", "awslogs-stream-prefix", "awslogs-create-group",
		"awslogs-datetime-format", "awslogs-multiline-pattern", "mode", "max-buffer-size"},
	driverFluentd: append([]string{"fluentd-address", "fluentd-async", "fluentd-async-connect", "fluentd-buffer-limit", "fluentd-max-retries",
		"fluentd-request-ack", "fluentd-retry-wait", "fluentd-sub-second-precision"}, common...),
	driverSyslog: append([]string{"syslog-address", "syslog-facility", "syslog-format", "syslog-tls-ca-cert", "syslog-tls-cert",
		"syslog-tls-key", "syslog-tls-skip-verify"}, common...),
	driverGELF: append([]string{"gelf-address", "gelf-compression-level", "gelf-compression-type", "gelf-tcp-max-reconnect",
		"gelf-tcp-reconnect-delay"}, common...),
	driverSplunk: append([]string{"splunk-url", "splunk-token", "splunk-source", "splunk-sourcetype", "splunk-index", "splunk-capath",
		"splunk-caname", "splunk-insecureskipverify", "splunk-format", "splunk-verify-connection", "splunk-gzip", "splunk-gzip-level"}, common...),
	driverJournald: common,
}

// parseOptions checks a driver and its options, with Docker's words for what is wrong.
func parseOptions(driver string, opts map[string]string) (options, error) {
	if err := checkNames(driver, opts); err != nil {
		return options{}, err
	}
	if _, _, err := FileOptions(driver, opts); err != nil {
		return options{}, err
	}
	if driver != driverAWSLogs {
		return options{}, nil
	}
	o := options{group: opts["awslogs-group"], region: opts["awslogs-region"], stream: opts["awslogs-stream"], prefix: opts["awslogs-stream-prefix"]}
	if o.group == "" {
		return o, errors.New("must specify a value for log opt 'awslogs-group'")
	}
	if v := opts["awslogs-create-group"]; v != "" {
		var err error
		if o.createGroup, err = strconv.ParseBool(v); err != nil {
			return o, fmt.Errorf("must specify valid value for log opt 'awslogs-create-group': %w", err)
		}
	}
	var err error
	o.multiline, err = multilinePattern(opts)
	return o, err
}

func checkNames(driver string, opts map[string]string) error {
	names, ok := known[driver]
	if !ok {
		return fmt.Errorf("logger: no log driver named '%s' is registered", driver)
	}
next:
	for name := range opts {
		for _, n := range names {
			if n == name {
				continue next
			}
		}
		return fmt.Errorf("unknown log opt '%s' for %s log driver", name, driver)
	}
	return nil
}

// FileOptions says how large the container's file may get before it is rotated and how many are kept in all, by its log
// driver's options; zeros are the runtime's defaults. With all but json-file the files are the buffer of output that could not be
// sent yet: max-buffer-size bounds them together.
func FileOptions(driver string, opts map[string]string) (maxBytes int64, maxFiles int, err error) {
	if v, ok := opts["compress"]; ok && v != "false" {
		return 0, 0, fmt.Errorf("log opt 'compress' for %s log driver is not supported", driver)
	}
	buffer, err := bufferSize(opts)
	if err != nil || driver == driverNone {
		return 0, 0, err
	}
	if driver != driverJSONFile {
		if buffer == 0 {
			return 0, 0, nil
		}
		const files = 4
		return max(buffer/files, 64<<10), files, nil
	}
	if v := opts["max-size"]; v != "" && v != "-1" {
		if maxBytes, err = parseSize(v, 1000); err != nil {
			return 0, 0, fmt.Errorf("invalid value for log opt 'max-size': %w", err)
		}
	}
	if v := opts["max-file"]; v != "" {
		if maxFiles, err = strconv.Atoi(v); err != nil {
			return 0, 0, fmt.Errorf("invalid value for log opt 'max-file': %w", err)
		}
		if maxFiles < 1 {
			return 0, 0, errors.New("max-file cannot be less than 1")
		}
	}
	return maxBytes, maxFiles, nil
}

// bufferSize reads mode and max-buffer-size. Neither mode ever blocks a container here: what it writes goes to a file.
func bufferSize(opts map[string]string) (int64, error) {
	mode, size := opts["mode"], opts["max-buffer-size"]
	if mode != "" && mode != "blocking" && mode != "non-blocking" {
		return 0, fmt.Errorf("logger: logging mode %q not supported", mode)
	}
	if size == "" {
		return 0, nil
	}
	if mode == "blocking" {
		return 0, errors.New("logger: max-buffer-size option is only supported with 'mode=non-blocking'")
	}
	n, err := parseSize(size, 1024)
	if err != nil {
		return 0, fmt.Errorf("error parsing option max-buffer-size: %w", err)
	}
	return n, nil
}

// parseSize reads a size with an optional k, m, g or t, and b behind that. Docker counts max-size in thousands and
// max-buffer-size by 1024.
func parseSize(s string, unit int64) (int64, error) {
	number := strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(strings.TrimSpace(s)), "b"), "i")
	factor := int64(1)
	if n := len(number); n > 0 {
		if i := strings.IndexByte("kmgt", number[n-1]); i >= 0 {
			number = number[:n-1]
			for range i + 1 {
				factor *= unit
			}
		}
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if size := v * float64(factor); err == nil && size >= 1 && size < math.MaxInt64 {
		return int64(size), nil
	}
	return 0, fmt.Errorf("invalid size: '%s'", s)
}

// streamName is where a container's output goes: prefix/container/task, as ECS has it, or the container's id.
func (o options) streamName(src Source) string {
	switch {
	case o.stream != "":
		return o.stream
	case o.prefix != "":
		return o.prefix + "/" + src.ContainerName + "/" + src.TaskID
	}
	return src.ContainerID
}

// multilinePattern reads the two ways of saying how an event's first line looks.
func multilinePattern(opts map[string]string) (*regexp.Regexp, error) {
	pattern, format := opts["awslogs-multiline-pattern"], opts["awslogs-datetime-format"]
	if pattern != "" && format != "" {
		return nil, errors.New("you cannot configure log opt 'awslogs-datetime-format' and 'awslogs-multiline-pattern' at the same time")
	}
	if format != "" {
		pattern = strftime.Replace(format)
	}
	if pattern == "" {
		return nil, nil
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, fmt.Errorf("awslogs could not parse multiline pattern key %q: %w", pattern, err)
	}
	return re, nil
}

// strftime turns a Python strftime format into a regular expression. As in Docker, the rest of the format is one already.
// https://docs.docker.com/engine/logging/drivers/awslogs/#awslogs-datetime-format
var strftime = strings.NewReplacer(
	`%a`, `(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)`,
	`%A`, `(?:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)`,
	`%w`, `[0-6]`,
	`%d`, `(?:0[1-9]|[12][0-9]|3[01])`,
	`%b`, `(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)`,
	`%B`, `(?:January|February|March|April|May|June|July|August|September|October|November|December)`,
	`%m`, `(?:0[1-9]|1[0-2])`,
	`%Y`, `\d{4}`,
	`%y`, `\d{2}`,
	`%H`, `(?:[01][0-9]|2[0-3])`,
	`%I`, `(?:0[0-9]|1[0-2])`,
	`%p`, `[AP]M`,
	`%M`, `[0-5][0-9]`,
	`%S`, `[0-5][0-9]`,
	`%f`, `\d{6}`,
	`%z`, `[+-]\d{4}`,
	`%Z`, `[A-Z]{1,4}T`,
	`%j`, `(?:0(?:0[1-9]|[1-9][0-9])|[12][0-9][0-9]|3[0-5][0-9]|36[0-6])`,
	`%L`, `\.\d{3}`,
	`%%`, `%`,
)
