#!/usr/bin/perl
# initdb of the private PostgreSQL that tests run: a cluster is made once per set of options, and each further one is a
# copy of it with a system identifier of its own, which takes a third of the processor time. Anything unusual goes to
# initdb itself, which copy_clusters (common.sh) has put beside this file as initdb.made.
use strict;
use warnings;

use Digest::MD5 'md5_hex';
use File::Basename 'dirname';
use File::Spec;
use Time::HiRes 'gettimeofday';

use constant SYSTEM_IN_WAL => 24;    # offset of xlp_sysid, access/xlog_internal.h

my $made = "$0.made";
my $templates = dirname(File::Spec->rel2abs($0)) . '/../clusters';

# CRC-32C as the server's, of all bytes but the last, and what it expects at each offset: the length of ControlFileData
# is not the same in each version, so the checksum is found where it fits.
sub checksums
{
	my ($bytes) = @_;
	my $crc = 0xFFFFFFFF;
	my @at;

	foreach my $offset (0 .. length($bytes) - 1)
	{
		push @at, $crc ^ 0xFFFFFFFF;
		$crc ^= ord substr $bytes, $offset, 1;
		$crc = $crc & 1 ? ($crc >> 1) ^ 0x82F63B78 : $crc >> 1 foreach 1 .. 8;
	}
	return @at;
}

sub put
{
	my ($file, $offset, $bytes) = @_;

	open my $out, '+<:raw', $file or die "cannot open $file: $!\n";
	seek $out, $offset, 0 or die "cannot seek in $file: $!\n";
	print $out $bytes or die "cannot write $file: $!\n";
	close $out or die "cannot write $file: $!\n";
}

# Another system identifier, made as initdb makes one: of the time and the process
sub name_anew
{
	my ($data) = @_;
	my ($wal) = glob "$data/pg_wal/0*1";
	my ($seconds, $micros) = gettimeofday();
	my $system = pack 'Q', $seconds << 32 | $micros << 12 | $$ & 0xFFF;

	open my $in, '<:raw', "$data/global/pg_control" or die "cannot open the control file: $!\n";
	read($in, my $control, 512) == 512 or die "the control file is short\n";
	my @before = checksums($control);
	my ($end) = grep { $_ % 4 == 0 && $before[$_] == unpack 'L', substr $control, $_, 4 } 64 .. 508;
	die "no checksum in the control file\n" unless $end;
	substr($control, 0, 8) = $system;
	put("$data/global/pg_control", 0, substr($control, 0, $end) . pack 'L', (checksums($control))[$end]);
	put($wal, SYSTEM_IN_WAL, $system);
}

my @options = @ARGV;
my ($at) = grep { $options[$_] eq '-D' } 0 .. $#options - 1;
exec $made, @options if !defined $at || grep { /^(?:-X|--waldir|--pwfile|-V|--version|-\?|--help|-s|--show)/ } @options;
my (undef, $data) = splice @options, $at, 2;
exec $made, @ARGV if -e $data;

my $template = "$templates/" . md5_hex(join "\0", @options, map { "$_=$ENV{$_}" } grep { /^(?:LC_|LANG)/ } sort keys %ENV);
if (!-d $template)
{
	mkdir $templates;
	system($made, '-D', "$template.$$", @options) == 0 or exit($? >> 8 || 1);
	rename "$template.$$", $template or system 'rm', '-rf', "$template.$$";    # another process was first
}
my $parent = dirname($data);
system 'mkdir', '-p', $parent if !-d $parent;
system('cp', '-a', '--sparse=always', $template, $data) == 0 or die "cannot copy $template to $data\n";
name_anew($data);
